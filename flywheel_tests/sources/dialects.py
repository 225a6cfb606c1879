"""Every dialect of this package, most specific first, as the reader would try them."""

from typing import Any

from flywheel.sources.agent_sessions import AgentSessions
from flywheel.sources.alpaca import Alpaca
from flywheel.sources.anthropic import Anthropic
from flywheel.sources.argilla import Argilla
from flywheel.sources.batches import Batches
from flywheel.sources.bedrock import BedrockConverse
from flywheel.sources.cohere import Cohere
from flywheel.sources.gemini import Gemini
from flywheel.sources.inspect_ai import InspectAI
from flywheel.sources.label_studio import LabelStudio
from flywheel.sources.langfuse import Langfuse
from flywheel.sources.langsmith import LangSmith
from flywheel.sources.litellm import LiteLLM
from flywheel.sources.messages import Messages
from flywheel.sources.oasst import Oasst
from flywheel.sources.ollama import Ollama
from flywheel.sources.openai_chat import OpenAIChat
from flywheel.sources.openai_responses import OpenAIResponses
from flywheel.sources.otel_genai import OTelGenAI
from flywheel.sources.preference import Preference
from flywheel.sources.sharegpt import ShareGPT
from flywheel.sources.stored_completions import StoredCompletions
from flywheel.sources.tau_bench import TauBench
from flywheel.sources.tensorzero import TensorZero

DIALECTS: tuple[Any, ...] = tuple(
    sorted(
        (
            *(Alpaca(), Anthropic(), BedrockConverse(), Cohere(), Gemini(), Langfuse(), LangSmith(), LiteLLM(), Messages()),
            *(Oasst(), Ollama(), OpenAIChat(), OpenAIResponses(), OTelGenAI(), Preference(), ShareGPT(), TauBench()),
            *(InspectAI(), TensorZero(), Batches(), StoredCompletions(), Argilla(), LabelStudio(), AgentSessions()),
        ),
        key=lambda dialect: -dialect.specificity,
    )
)
