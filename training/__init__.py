"""What a training is made of: a step, its phases and rates, its optimisers, the average of the weights."""
