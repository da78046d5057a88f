"""What training is made of: sequences drawn from prepared tracks, the loop over them, the state that lets a killed run go on."""
