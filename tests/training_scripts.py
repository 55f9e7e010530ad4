"""Training scripts as people write them; each saves its weights where its last argument says."""

MLP = """
import argparse
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 32)
        self.dropout = nn.Dropout(0.25)
        self.fc2 = nn.Linear(32, 4)

    def forward(self, x):
        return F.log_softmax(self.fc2(self.dropout(F.relu(self.fc1(x)))), dim=1)


def train(args, model, loader, optimizer, epoch):
    model.train()
    for index, (data, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        if index % args.log_interval == 0:
            print(f"epoch {epoch} batch {index} loss {loss.item():.9g}")


def test(model, loader):
    model.eval()
    with torch.no_grad():
        correct = sum((model(data).argmax(1) == target).sum().item() for data, target in loader)
    print(f"correct {correct}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--every", dest="log_interval", type=int, default=5)
    parser.add_argument("save")
    args = parser.parse_args()
    torch.manual_seed(1)
    data = TensorDataset(torch.randn(160, 16), torch.randint(0, 4, (160,)))
    loader = DataLoader(data, batch_size=16, shuffle=True)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(args.epochs):
        train(args, model, loader, optimizer, epoch)
        test(model, loader)
    torch.save(model.state_dict(), args.save)


if __name__ == "__main__":
    main()
"""

LSTM = """
import sys
import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.out = nn.Linear(12, 11)

    def forward(self, words):
        return self.out(self.lstm(self.embedding(words))[0])


torch.manual_seed(0)
model = Tagger()
optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
for step in range(6):
    words = torch.randint(0, 11, (4, 9))
    loss = nn.functional.cross_entropy(model(words[:, :-1]).transpose(1, 2), words[:, 1:])
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.2)
    optimiser.step()
torch.save(model.state_dict(), sys.argv[-1])
"""

ACCELERATE = """
import sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from accelerate import Accelerator

torch.manual_seed(0)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
loader = DataLoader(TensorDataset(torch.randn(64, 8), torch.randint(0, 2, (64,))), batch_size=8)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for data, target in loader:
    with accelerator.accumulate(model):
        loss = nn.functional.cross_entropy(model(data), target)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
torch.save(accelerator.unwrap_model(model).state_dict(), sys.argv[-1])
"""

LIGHTNING = """
import sys
import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))

    def training_step(self, batch, number):
        data, target = batch
        return nn.functional.cross_entropy(self.net(data), target)

    def validation_step(self, batch, number):
        self.net(batch[0])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


lightning.seed_everything(0)
loader = DataLoader(TensorDataset(torch.randn(64, 8), torch.randint(0, 2, (64,))), batch_size=8)
module = Module()
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(module, loader, loader)
torch.save(module.net.state_dict(), sys.argv[-1])
"""

GAN = """
import sys
import torch
from torch import nn

torch.manual_seed(0)


class Generator(nn.Sequential):
    pass


class Critic(nn.Sequential):
    pass


generator = Generator(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
critic = Critic(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
loss = nn.BCEWithLogitsLoss()
for step in range(5):
    of_critic.zero_grad()
    real = loss(critic(torch.randn(8, 2)), torch.ones(8, 1))
    real.backward()
    drawn = generator(torch.randn(8, 4))
    false = loss(critic(drawn.detach()), torch.zeros(8, 1))
    false.backward()
    of_critic.step()
    of_generator.zero_grad()
    passed = loss(critic(drawn), torch.ones(8, 1))
    passed.backward()
    of_generator.step()
    print(real.item() + false.item(), passed.item())
torch.save(generator.state_dict(), sys.argv[-1])
"""

ENDLESS = """
import sys
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
step = 0
while True:
    optimiser.zero_grad()
    model(torch.ones(5, 4)).square().mean().backward()
    optimiser.step()
    step += 1
    if step == 50 or step % 500 == 0:
        print(step, flush=True)
"""
