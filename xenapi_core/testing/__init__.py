"""The test kit: what tests of this project, of drivers, and of programs that embed the server can use."""
