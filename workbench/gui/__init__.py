"""The web pages' shared parts: server, navigation, forms, cards and result views. Imports no torch."""
