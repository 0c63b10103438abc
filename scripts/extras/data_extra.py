"""`zest_jax[data]`: probes are made of a data set that TensorFlow Datasets prepared, without TensorFlow."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from zest_jax.cli.main import main

folder = Path("tiny/1.0.0")
folder.mkdir(parents=True)
shard = "tiny-train.array_record-00000-of-00001"
template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
splits = [{"name": "train", "shardLengths": ["8"], "numBytes": "1", "filepathTemplate": template}]
about = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record", "splits": splits}
(folder / "dataset_info.json").write_text(json.dumps(about))
with contextlib.suppress(ImportError):  # where it is missing there is nothing to write the records with
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto.tf_example_generated_pb2 import Example, Features
    from tensorflow_datasets.proto.tf_feature_generated_pb2 import BytesList, Feature, Int64List

    features = {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(names=["cat", "dog"])}
    tfds.features.FeaturesDict(features).save_config(str(folder))
    writer = ArrayRecordWriter(str(folder / shard), "group_size:1")
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)):
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        image_feature = Feature(bytes_list=BytesList(value=[png.getvalue()]))
        label_feature = Feature(int64_list=Int64List(value=[i % 2]))
        record = Example(features=Features(feature={"image": image_feature, "label": label_feature}))
        writer.write(record.SerializeToString())
    writer.close()

os.environ["TFDS_DATA_DIR"] = str(Path.cwd())
grid = ["--segmenter", "grid", "--segmenter-settings", "rows=2,columns=2"]
sys.exit(main(["probes", "tiny", "-o", "tiny.npz", "--n-references", "4", "--n-samples", "16", *grid]))
