import pytest
from torch import nn

from tests.sound import SOUND, train


@pytest.fixture(scope="package")
def trained() -> dict[str, nn.Module]:
    return {name: train(make(), loss) for name, (make, loss, _) in SOUND.items()}
