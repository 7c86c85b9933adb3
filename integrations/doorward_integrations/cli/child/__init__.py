"""A command of the user's as a child: what it leaves behind is ended, whatever ends first."""
