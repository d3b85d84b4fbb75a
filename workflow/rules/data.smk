# From archives to packed images. Downloads run where Snakemake runs: compute nodes often have no internet.

from tfcore.data.content import content_of
from tfcore.runtime.files import read_json
from tfcore.runs.record import read_record


localrules:
    make_demo_data,
    fetch_dataset,
    fetch_textures,
    check_data,
    data,


rule data:
    """All selected categories and the textures: fetched, checked and packed."""
    input:
        per_category("data/packed/{dataset}/{category}/pack.json"),
        "data/packed/textures/pack.json",


rule make_demo_data:
    """Draw the demo's two small datasets and its textures."""
    output:
        "data/demo/made.json",
    log:
        "logs/make_demo_data.log",
    benchmark:
        "logs/benchmarks/make_demo_data.tsv"
    threads: 4
    shell:
        r"""
        python -m tfcore demo-data --out data/demo >{log:q} 2>&1
        echo '{{}}' >{output:q}
        """


def demo_data(section):
    """Return the demo's data for a section that reads them."""
    return ["data/demo/made.json"] if (section.local or "").startswith(DEMO_DATA) else []


def content_of_textures():
    """Return a file that changes when the files of a local copy do: the textures are then linked and packed anew."""
    local = Path(SETTINGS.textures.local or "")
    if SETTINGS.textures.local is None or demo_data(SETTINGS.textures) or not local.exists():
        return []
    file = Path("work/local_textures.json")
    content = {"local": str(local), "content": content_of(local)}
    if not file.exists() or read_json(file) != content:
        write_json(file, content)
    return [str(file)]


def is_packed(wildcards):
    """Return whether a category's pack is here and is what the settings ask for: it then needs no images."""
    about = read_record(packed_folder(wildcards.dataset, wildcards.category) / "pack.json") or {}
    wanted = {"recipe": PACKING["recipe"], "size": PACKING["resize"], "foreground": foreground_of(wildcards)}
    return wanted.items() <= about.items()


def changed_source(wildcards):
    """Return a file that has just been written when the settings name another source than the data came from."""
    marker = Path(f"data/raw/{wildcards.dataset}.json")
    local = SETTINGS.datasets[wildcards.dataset].local
    if not marker.exists() or (read_record(marker) or {}).get("local") == local:
        return []
    file = Path(f"work/sources/{wildcards.dataset}.json")
    write_json(file, {"local": local})
    return [str(file)]


rule fetch_dataset:
    """Download and unpack a dataset, or note where the local copy lies."""
    input:
        lambda wildcards: demo_data(SETTINGS.datasets[wildcards.dataset]),
        changed_source,
    output:
        "data/raw/{dataset}.json",
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "logs/benchmarks/fetch_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=r"(?!textures\.json)[^/]+",
    shell:
        r"""
        python -m tfcore fetch --dataset {wildcards.dataset:q} --params {PARAMS:q} 2>&1 | tee {log:q}
        """


rule fetch_textures:
    """Download and unpack the textures, or note where the local copy lies."""
    input:
        demo_data(SETTINGS.textures),
        lambda wildcards: content_of_textures(),
    output:
        "data/raw/textures.json",
    log:
        "logs/fetch_textures.log",
    benchmark:
        "logs/benchmarks/fetch_textures.tsv"
    shell:
        r"""
        python -m tfcore fetch --textures --params {PARAMS:q} 2>&1 | tee {log:q}
        """


def raw_to_check(wildcards):
    """Return the raw data, unless the manifest is there and nobody has asked for a new check of it."""
    manifest = manifest_file(wildcards.dataset, wildcards.category)
    forced = workflow.dag_settings.forceall or {"check_category", str(manifest)} & {*workflow.dag_settings.forcerun}
    return [] if manifest.exists() and not forced else [f"data/raw/{wildcards.dataset}.json"]


# A manifest that exists is not made again because the data were fetched again; packing compares the two.
# Data changed on purpose: snakemake --forcerun check_category -- data
rule check_category:
    """Compare a category with what it should be, and list its files with their sha256."""
    input:
        raw_to_check,
    output:
        "data/manifests/{dataset}/{category}.csv",
    log:
        "logs/check_category/{dataset}/{category}.log",
    benchmark:
        "logs/benchmarks/check_category/{dataset}/{category}.tsv"
    priority: 2  # before trainings, which wait for it
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        layout=lambda wildcards: SETTINGS.datasets[wildcards.dataset].layout,
    shell:
        r"""
        python -m tfcore check-data {wildcards.dataset:q} --category {wildcards.category:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule check_data:
    """All selected categories compared with what they should be."""
    input:
        per_category("data/manifests/{dataset}/{category}.csv"),


rule pack_category:
    """Decode and resize a category's images and masks once."""
    input:
        manifest="data/manifests/{dataset}/{category}.csv",
        raw=lambda wildcards: ([] if is_packed(wildcards) else f"data/raw/{wildcards.dataset}.json"),
    output:
        "data/packed/{dataset}/{category}/pack.json",
    log:
        "logs/pack_category/{dataset}/{category}.log",
    benchmark:
        "logs/benchmarks/pack_category/{dataset}/{category}.tsv"
    priority: 2  # before trainings, which wait for it
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=as_params(PACKING),
        foreground=foreground_of,
    shell:
        r"""
        python -m tfcore pack --dataset {wildcards.dataset:q} --category {wildcards.category:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule pack_textures:
    """Decode and resize the textures once."""
    input:
        "data/raw/textures.json",
    output:
        "data/packed/textures/pack.json",
    log:
        "logs/pack_textures.log",
    benchmark:
        "logs/benchmarks/pack_textures.tsv"
    priority: 2  # before trainings, which wait for it
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=as_params(SETTINGS.textures.model_dump(mode="json", include={"size", "limit"})),
        recipe=PACKING["recipe"],
    shell:
        r"""
        python -m tfcore pack-textures --params {PARAMS:q} >{log:q} 2>&1
        """
