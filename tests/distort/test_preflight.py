"""Before the work starts a run says what the pictures are."""


def test_a_run_says_what_it_found_before_it_works(tree, tmp_path, run):
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", "jpeg-10")
    assert made.stderr.startswith(f"{tree}: 24 pictures, 2 classes (animals, things)\n")


def test_a_flat_folder_says_before_it_works_how_to_give_labels(tree, tmp_path, run):
    made = run("distort", "run", tree / "animals", tmp_path / "d", "--distortions", "jpeg-10")
    assert made.stderr.startswith(
        f"{tree}/animals: 12 pictures\nno labels: training and evaluation need them. Give"
    )
    (tmp_path / "labels.txt").write_text("cat\n" * 6 + "woman\n" * 6)
    labelled = run(
        "distort", "run", tree / "animals", tmp_path / "e", "--distortions", "jpeg-10",
        "--labels", tmp_path / "labels.txt",
    )  # fmt: skip
    assert "12 pictures, 2 classes (cat, woman)" in labelled.stderr
