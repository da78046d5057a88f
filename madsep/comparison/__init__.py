"""Compare systems with each other and with those of SiSEC 2018."""
