"""The fault scenarios of the gateway, played from outside against any gateway."""
