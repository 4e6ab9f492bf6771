from .checkpoints.checkpoint import (
    load_model as load_model,
)
from .checkpoints.checkpoint import (
    save_model as save_model,
)
from .checkpoints.info import (
    ModelInfo as ModelInfo,
)
from .checkpoints.model import (
    ClassificationModel as ClassificationModel,
)
from .checkpoints.model import (
    SegmentationModel as SegmentationModel,
)
from .data.catalog import (
    list_datasets as list_datasets,
)
from .data.catalog import (
    load_spec as load_spec,
)
from .data.checking.check import (
    check_dataset as check_dataset,
)
from .data.dataset import (
    ImageDataset as ImageDataset,
)
from .data.download import (
    download_dataset as download_dataset,
)
from .data.labels import (
    IGNORE_INDEX as IGNORE_INDEX,
)
from .data.loader import (
    make_loader as make_loader,
)
from .data.transforms import (
    TrainTransform as TrainTransform,
)
from .evaluation.config import (
    EvalConfig as EvalConfig,
)
from .evaluation.evaluate import (
    evaluate as evaluate,
)
from .evaluation.evaluate import (
    evaluate_checkpoint as evaluate_checkpoint,
)
from .evaluation.metrics import (
    ClassificationScores as ClassificationScores,
)
from .evaluation.metrics import (
    SegmentationScores as SegmentationScores,
)
from .evaluation.metrics import (
    score as score,
)
from .export.config import (
    ExportConfig as ExportConfig,
)
from .export.exporting import (
    export_checkpoint as export_checkpoint,
)
from .export.formats import (
    export_model as export_model,
)
from .inference.classify import (
    Classification as Classification,
)
from .inference.classify import (
    classify as classify,
)
from .inference.config import (
    PredictConfig as PredictConfig,
)
from .inference.exported import (
    ExportedModel as ExportedModel,
)
from .inference.exported import (
    load_exported as load_exported,
)
from .inference.predict import (
    Prediction as Prediction,
)
from .inference.predict import (
    predict as predict,
)
from .inference.predict import (
    predict_probabilities as predict_probabilities,
)
from .inference.uncertainty import (
    UncertainPrediction as UncertainPrediction,
)
from .inference.uncertainty import (
    predict_uncertainty as predict_uncertainty,
)
from .models import (
    Backbone as Backbone,
)
from .models import (
    DenseNet as DenseNet,
)
from .models import (
    FCDenseNet as FCDenseNet,
)
from .models import (
    build_model as build_model,
)
from .models import (
    densenet121 as densenet121,
)
from .models import (
    densenet161 as densenet161,
)
from .models import (
    densenet169 as densenet169,
)
from .models import (
    densenet201 as densenet201,
)
from .models import (
    densenet264 as densenet264,
)
from .models import (
    densenet_backbone as densenet_backbone,
)
from .models import (
    fc_densenet56 as fc_densenet56,
)
from .models import (
    fc_densenet67 as fc_densenet67,
)
from .models import (
    fc_densenet103 as fc_densenet103,
)
from .models import (
    list_models as list_models,
)
from .models import (
    load_fitting as load_fitting,
)
from .models import (
    load_public as load_public,
)
from .models.smp import (
    register_smp_encoders as register_smp_encoders,
)
from .shipped import (
    list_weights as list_weights,
)
from .streets import (
    draw_object as draw_object,
)
from .streets import (
    draw_scene as draw_scene,
)
from .summary.block_table import (
    format_summary as format_summary,
)
from .summary.block_table import (
    summarize as summarize,
)
from .summary.drawing import (
    draw_network as draw_network,
)
from .summary.graph import (
    graph_network as graph_network,
)
from .summary.layer_table import (
    format_layers as format_layers,
)
from .summary.layer_table import (
    list_layers as list_layers,
)
from .training.config import (
    ClassifierTrainConfig as ClassifierTrainConfig,
)
from .training.config import (
    TrainConfig as TrainConfig,
)
from .training.train import (
    train as train,
)
from .training.training_run import (
    TrainingRun as TrainingRun,
)
