"""The C extension: optional, built where there is a compiler. Every function in it has a twin in Python."""
