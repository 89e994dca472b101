"""Side by side with lm-eval, and simulations: what the documents quote is printed here. No timed tests."""
