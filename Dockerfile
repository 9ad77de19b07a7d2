# syntax=docker/dockerfile:1
# lkgrag on the CPU: `docker build -t lkgrag . && docker run -v lkgrag:/data lkgrag` trains, evaluates and explains.
FROM python:3.11-slim

# Another index of PyTorch gives another build, as https://download.pytorch.org/whl/cu130 for CUDA 13.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    SITE=/usr/local/lib/python3.11/site-packages

# OpenMP, which scikit-learn and torch share; the image has no other library of the system to add.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/*

WORKDIR /opt/lkgrag
# Dependencies change more rarely than the code, so they are a layer of their own; torch is the largest.
COPY constraints.txt pyproject.toml ./
RUN pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)" && \
    rm -rf "$SITE"/torch/test "$SITE"/torch/bin/*[Tt]est*
# Tests of the libraries go, and on the CPU the parts of bitsandbytes for other devices.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /tmp/requirements.txt && \
    pip install --constraint constraints.txt --requirement /tmp/requirements.txt && \
    find "$SITE" -type d -name tests -prune -exec rm -rf {} + && \
    case "$TORCH_INDEX" in */cpu) find "$SITE/bitsandbytes" -name "*.so" ! -name "*_cpu.so" -delete ;; esac && \
    rm /tmp/requirements.txt
COPY setup.py README.md LICENSE MANIFEST.in ./
COPY lkgrag lkgrag
RUN pip install --no-deps . && rm -rf build lkgrag.egg-info

# Data sets, models and runs lie in one volume, which belongs to a user without rights.
RUN useradd --create-home --uid 1000 lkgrag && mkdir /data && chown lkgrag:lkgrag /data
USER lkgrag
WORKDIR /data
ENV LKGRAG_CACHE=/data/cache \
    HF_HOME=/data/huggingface
VOLUME /data

ENTRYPOINT ["lkgrag"]
CMD ["train"]
