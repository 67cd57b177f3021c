"""How fast micrographs are picked, fields simulated and networks trained, as ``attnpick benchmark`` measures it."""
