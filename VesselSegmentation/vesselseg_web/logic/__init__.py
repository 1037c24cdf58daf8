"""What the sections of the page do: state objects and the logics bound to them."""
