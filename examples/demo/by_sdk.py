"""What an application sees: OpenAI's own SDK, at a model and at the flow of the demo."""

from __future__ import annotations

from openai import AsyncOpenAI

SENTENCE = "The battery died after two days and nobody answered my mails."


async def ask_by_sdk(url: str, key: str, *models: str) -> list[tuple[str, str]]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as sdk:
        messages = [{"role": "user", "content": SENTENCE}]
        answers = [await sdk.chat.completions.create(model=name, messages=messages, max_tokens=24) for name in models]
    return [(name, answer.choices[0].message.content) for name, answer in zip(models, answers, strict=True)]
