"""Every figure of the report, in the order of the page. A new one is a function and an entry here."""

from report.figures import accuracy, matrix, methods, rate, reliability
from report.figures.spec import NothingToShow, Spec

__all__ = ["FIGURES", "NothingToShow", "Spec"]

BARS = "Bars are 95 % intervals over pictures and, with several, seeds."
PER_MODEL = ("arch",)

FIGURES = [
    Spec(
        "rate-psnr",
        "Rate and PSNR",
        "Mean PSNR of the RGB pictures against the mean size of their files; up and to the left is better. "
        "Chains (dashed, open markers) are measured against the clean picture.",
        "measured",
        rate.rate_psnr,
        rates=True,
    ),
    Spec(
        "rate-ssim",
        "Rate and SSIM",
        "Mean SSIM against the mean size of the files; up and to the left is better. "
        "Chains (dashed, open markers) are measured against the clean picture.",
        "measured",
        rate.rate_ssim,
        rates=True,
    ),
    Spec(
        "rate-metric",
        "Rate and further metrics",
        "What 'distort measure' has added, against the mean size of the files: means over pictures, medians of "
        "times.",
        "metrics",
        rate.rate_metric,
        per=("title",),
        rates=True,
    ),
    Spec(
        "fig4-rate-accuracy",
        "Rate and accuracy (Fig. 4)",
        "Top-1 accuracy against the mean size of the files, one panel per method; the dashed line is the accuracy "
        f"on lossless pictures. {BARS}",
        "accuracy",
        accuracy.rate_accuracy,
        per=PER_MODEL,
        rates=True,
    ),
    Spec(
        "rate-methods",
        "Methods by codec",
        f"Top-1 accuracy against rate, all methods on one axis per codec; published values in grey. {BARS}",
        "accuracy",
        methods.rate_methods,
        per=PER_MODEL,
    ),
    Spec(
        "pareto",
        "Everything tested, by bytes",
        "Each point is a codec, quality and method. The steps are the Pareto front: what nothing cheaper equals.",
        "accuracy",
        methods.pareto,
        per=("dataset", "arch"),
    ),
    Spec(
        "gain",
        "Gain over fine-tuning",
        f"Percentage points of top-1, each model where it was trained. {BARS}",
        "own_gains",
        methods.forest,
        per=("dataset", "arch"),
    ),
    Spec(
        "fig5-train-test",
        "Trained on, tested on (Fig. 5)",
        "Top-1 accuracy of the models trained on one distortion (rows) at all others (columns). "
        "Bold: tested as trained. Empty: not measured.",
        "matrix",
        matrix.train_test,
        per=("dataset", "arch", "method"),
    ),
    Spec(
        "fig5-difference",
        "Gain over fine-tuning, trained on and tested on",
        "Percentage points of top-1 accuracy, orange below and purple above zero. Empty: not measured.",
        "own_gains",
        matrix.difference,
        per=("dataset", "arch", "method"),
    ),
    Spec(
        "mse-accuracy",
        "MSE and accuracy",
        f"Top-1 accuracy against mean squared error, the axis that noise, blur and codecs share. {BARS}",
        "accuracy",
        accuracy.mse_accuracy,
        per=PER_MODEL,
    ),
    Spec(
        "quality-accuracy",
        "Quality and accuracy",
        "Top-1 accuracy against each codec's own parameter. Codecs tested at a single value are left out.",
        "accuracy",
        methods.quality_accuracy,
        per=PER_MODEL,
    ),
    Spec(
        "psnr-accuracy",
        "PSNR and accuracy",
        f"Top-1 accuracy against mean PSNR. {BARS}",
        "accuracy",
        accuracy.psnr_accuracy,
        per=PER_MODEL,
    ),
    Spec(
        "ssim-accuracy",
        "SSIM and accuracy",
        f"Top-1 accuracy against mean SSIM. {BARS}",
        "accuracy",
        accuracy.ssim_accuracy,
        per=PER_MODEL,
    ),
    Spec(
        "reliability",
        "Confidence and accuracy",
        "How often answers of a given confidence are right, over all distortions at which a method counts and all "
        "seeds; on the dashed line, confidence is what it says.",
        "calibration",
        reliability.reliability,
        per=("dataset", "arch"),
    ),
]
