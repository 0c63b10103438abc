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

folder = Path("prepared/tiny/1.0.0")
folder.mkdir(parents=True)
shard = "tiny-train.array_record-00000-of-00001"
template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
splits = [{"name": "train", "shardLengths": ["8"], "numBytes": "1", "filepathTemplate": template}]
about = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record", "splits": splits}
(folder / "dataset_info.json").write_text(json.dumps(about))
core = "tensorflow_datasets.core.features"
shape = {"dtype": "uint8", "shape": {"dimensions": ["8", "8", "3"]}}
image = {"pythonClassName": f"{core}.image_feature.Image", "image": shape}
label = {"pythonClassName": f"{core}.class_label_feature.ClassLabel", "classLabel": {"numClasses": "2"}}
both = {"features": {"image": image, "label": label}}
features = {"pythonClassName": f"{core}.features_dict.FeaturesDict", "featuresDict": both}
(folder / "features.json").write_text(json.dumps(features))
(folder / "label.labels.txt").write_text("cat\ndog\n")
with contextlib.suppress(ImportError):  # where it is missing there is nothing to write the records with
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_generated_pb2, tf_feature_generated_pb2

    example, feature = vars(tf_example_generated_pb2), vars(tf_feature_generated_pb2)
    Example, Feature, Features = example["Example"], feature["Feature"], feature["Features"]
    BytesList, Int64List = feature["BytesList"], feature["Int64List"]

    writer = ArrayRecordWriter(str(folder / shard), "group_size:1")
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)):
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        image_feature = Feature(bytes_list=BytesList(value=[png.getvalue()]))
        label_feature = Feature(int64_list=Int64List(value=[i % 2]))
        record = Example(features=Features(feature={"image": image_feature, "label": label_feature}))
        writer.write(record.SerializeToString())
    writer.close()

os.environ["TFDS_DATA_DIR"] = str(Path("prepared").absolute())
grid = ["--segmenter", "grid", "--segmenter-settings", "rows=2,columns=2"]
sys.exit(main(["probes", "tiny", "-o", "tiny.npz", "--n-references", "4", "--n-samples", "16", *grid]))
