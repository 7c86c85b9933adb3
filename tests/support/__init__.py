"""What the tests share: a clock moved by hand, a key endpoint changed in one line, tokens made to order."""
