"""Files on their way from the browser, and what is checked before they are taken."""
