"""What training is made of: the sequences drawn from prepared tracks, and the state that lets a killed run go on."""
