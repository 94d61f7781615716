"""Prune a transformer by calibration inputs and fine-tune it with Hugging Face's Trainer, resumed from a checkpoint.

python examples/finetune_with_trainer.py [--toy]        (needs transformers and accelerate)
torchrun --nproc-per-node 2 examples/finetune_with_trainer.py [--toy]
"""

import sys

import torch
from sklearn.datasets import load_digits
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from pruneproof import prune

steps = 4 if "--toy" in sys.argv else 400
data, target = load_digits(return_X_y=True)
tokens, labels = torch.tensor(data, dtype=torch.long), torch.tensor(target)  # an image as 64 words of 17 shades
train = [{"input_ids": t, "labels": y} for t, y in zip(tokens[:1300], labels[:1300], strict=True)]


def network():
    torch.manual_seed(0)  # in place of weights that someone trained
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    return BertForSequenceClassification(BertConfig(vocab_size=17, num_labels=10, max_position_embeddings=64, **sizes))


def trainer(model, stop):
    arguments = TrainingArguments(
        output_dir="trained",
        max_steps=stop,
        save_steps=steps // 2,
        per_device_train_batch_size=32,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        weight_decay=0.1,
        max_grad_norm=1.0,
        report_to="none",
        use_cpu=True,
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
    )
    return Trainer(model=model, args=arguments, train_dataset=train)


batches = [{"input_ids": tokens[start : start + 64]} for start in range(0, 256, 64)]
result = prune.calibrated(network(), batches, method="wanda", density=0.3, exclude="classifier")
masks = result.masks

model = network()
masks.enforce(model)  # before the Trainer wraps it
trainer(model, steps // 2).train()

model = network()  # as a new process would begin
masks.enforce(model)
trainer(model, steps).train(resume_from_checkpoint=True)

revived = sum(int(model.get_parameter(name)[~mask].count_nonzero()) for name, mask in masks.items())
with torch.no_grad():
    accuracy = float((model.eval()(tokens[1300:]).logits.argmax(1) == labels[1300:]).float().mean())
print(f"{revived} pruned weights are not zero, density {masks.density:.2f}, accuracy {accuracy:.3f}")
