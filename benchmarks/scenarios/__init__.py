"""One file a scenario: a coroutine `run(quick) -> Result`."""
