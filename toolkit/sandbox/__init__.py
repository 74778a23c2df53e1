"""A local tenant that behaves like Auth0.

`Sandbox` serves the part of the Management API that the toolkit uses, tokens to call it
with, and the pictures that users' `picture` URLs stand for, all on loopback.
"""
