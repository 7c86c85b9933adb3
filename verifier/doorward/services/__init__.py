"""Many services behind one door: which service a request is for, and the door of each."""
