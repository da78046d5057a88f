"""Training: sequences drawn from prepared tracks, the loop over them, and the state from which a killed training resumes."""
