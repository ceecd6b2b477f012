"""What a training is made of: a step, its phases and rates, its states, its validation."""
