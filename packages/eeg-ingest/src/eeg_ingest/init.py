"""The commented example that `eeg-ingest init` writes."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = r"""# Datasets for `eeg-ingest build --sources sources.yaml`. All keys: `eeg-ingest schema`.
# Each dataset needs a name and a path; everything else has a default. A recipe gives all but the path.
sources:
  - recipe: siena                     # one of `eeg-ingest recipes`, which also tells how to get the data
    path: data/siena-scalp-eeg-database-1.0.0
    # Keys written here override the recipe's; null removes one.
    # release: gdf                    # another published form of the dataset, where the recipe has any

  - name: mental-arithmetic           # letters, digits, ., _ and -; the name in the store
    path: data/eegmat                 # relative to this file; ~, ${NAME} and ${NAME:-default} are expanded
    files: ["*.edf"]                  # globs below the path, ** for any folders; default: all recordings
    exclude: ["Subject31_*.edf"]      # optional: globs of files that are not looked at
    # A regular expression, searched in each file's path below `path`. Its named groups are subject (needed),
    # session and run, and others that labels use.
    subject: '(?P<subject>Subject\d+)_(?P<state>\d)\.edf$'
    # sessions_by: date               # a named group: a subject's files are sessions 1, 2, 3 in the order of its values
    line_freq_hz: 50                  # mains in Hz, or auto (the default): found in each recording
    licence: ODC-BY-1.0
    about:                            # optional, all of it: for those who find the data later
      title: Mental arithmetic
      url: https://physionet.org/content/eegmat/1.0.0/
      access: open
      citation: Zyma et al. 2019, doi:10.3390/data4010014
      get: wget -r https://physionet.org/files/eegmat/1.0.0/
    expected: {subjects: 36, recordings: 72, channels: 19, sfreq_hz: 500}  # optional: facts of the whole dataset
    labels:                           # where labels come from: one, or a list
      - from: path                    # one label for the whole recording, from a named group of subject
        group: state
        rename: {"1": rest, "2": arithmetic}
      - from: table                   # one label for the whole recording, from a table with a row a recording
        table: subject-info.csv       # beside the recording, or in `path`; {subject} and {stem} are filled in
        key: Subject                  # the column that names the recording ...
        value: "{subject}"            # ... and what it holds for this one (the default)
        column: Count quality         # the column of the label

  - name: motor-imagery
    path: ${EEG_DATA:-data}/eegmmidb
    files: ["S*/*.edf"]
    subject: '(?P<subject>S\d+)R(?P<run>\d+)'
    labels:
      from: annotations               # events from the files' own annotations; they are always stored
      rename: {T0: rest}

  - name: seizures
    path: data/tuh
    subject: '(?P<subject>[a-z]{8})_(?P<session>s\d+)_(?P<run>t\d+)'
    labels:
      from: table                     # events from a table beside each recording, a row an event
      table: "{stem}.csv_bi"
      onset: start_time               # columns in seconds: onset, and duration or stop
      stop: stop_time                 # or duration: ..., in seconds too; without either, events of no length
      column: label
      channel: channel                # the column of the channel: stored as "label channel"
      rename_channels: {TERM: ""}     # names of channels; nothing for all of them: stored as "label"
      optional: true                  # recordings without a table are taken with a warning; or silently
      where: {run: [t000, t001]}      # only files whose named groups have these values; for every kind of label
      # columns: [start, stop, label] # names of the columns, where the table has no header row

  - name: high-density
    path: data/geodesic
    unit: uV                          # uV, mV, V or nV, only where the files do not declare a unit; or auto
    channels:
      rename: {"E129": Cz}            # names in the files to names in the store
      drop: [E127, E128]
      montage: GSN-HydroCel-129       # positions that give E1, E2, ... the names of their nearest 10-05 sites

  - name: walking                     # text, MATLAB, ARFF and NPZ do not say what they hold: docs/readers.md
    path: data/walking
    files: ["*/eeg.csv"]
    subject: (?P<subject>S\d+)/
    unit: uV
    reader:
      format: table                   # or matlab, arff, npz, each with keys of its own
      time: {column: time, unit: s}   # gives the rate and the gaps; or sfreq_hz: 100
      triggers: [marker]
    targets:                          # targets in time (regression), from a table with its own clock
      table: joints.csv
      time: {column: time}
      names: [knee, hip]
      units: degree

  - name: resting                     # a BIDS dataset: subject, session, task and run from the names, types, bad
    path: data/ds004148               # channels, events and the mains from the sidecars, labels from participants.tsv
    bids: true
    labels: {from: table, table: participants.tsv, key: participant_id, value: "sub-{subject}", column: sex}

  - name: two-amplifiers
    path: data/lsl
    files: ["**/*.xdf"]
    reader: {format: xdf, stream: DSI-7}  # which stream is the EEG, where a file has several; nwb has series
"""


def write_example(path: Path) -> None:
    """Write the example. Raises FileExistsError where something is there, and OSError."""
    with path.open("x", encoding="utf-8") as file:
        file.write(EXAMPLE)
