"""The top-1 errors in percent of He, Zhang, Ren and Sun 2015."""

FIGURE_ONLY = "Fig. 6 only"

# Table 6: CIFAR-10's test set, last iteration. For 110 layers it is the mean of five runs; the best is 6.43.
CIFAR10 = {"resnet20": 8.75, "resnet32": 7.51, "resnet44": 7.17, "resnet56": 6.97, "resnet110": 6.61}
# Tables 2 and 3: ImageNet's validation set, ten-crop testing.
IMAGENET = {"plain18": 27.94, "plain34": 28.54, "resnet18": 27.88, "resnet34": 25.03, "resnet34-B": 24.52, "resnet34-C": 24.19}

SOURCES = {
    "cifar10": "The paper's numbers are from its Table 6; for 110 layers, the mean of five runs (6.61 ± 0.16, best 6.43). It has no table for plain nets on CIFAR-10.",
    "imagenet": "The paper's numbers are from its Tables 2 and 3, with ten-crop testing; ours are with one center crop, which gives higher errors.",
}


def error_of(paper, net):
    """The paper's test error of a net, or None."""
    return {"cifar10": CIFAR10, "imagenet": IMAGENET}.get(paper, {}).get(net.key)


def text_of(paper, net):
    """The paper's column of the table."""
    error = error_of(paper, net)
    if error is not None:
        return f"{error:.2f}"
    return FIGURE_ONLY if paper == "cifar10" and net.plain else "-"
