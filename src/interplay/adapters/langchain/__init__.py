"""LangChain: models of providers with APIs of their own, and Runnables and graphs as steps of flows."""
