"""The Masker-and-Denoiser computed step by step, as in its papers and published code. Two benchmarks compare with it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from madsep.models.mad import Mad


class Stepwise(nn.Module):
    """The weights of a `Mad` network in GRU cells: two over all frames, one over the inner frames (Mimilakis et al., ICASSP 2018)."""

    def __init__(self, network: Mad) -> None:
        super().__init__()
        self.n_context, self.n_low = network.n_context, network.settings.n_encoder_bins
        self.enc_forward, self.enc_backward, self.dec = (cell_of(gru) for gru in (network.enc_forward, network.enc_backward, network.dec))
        self.mask, self.denoiser_enc, self.denoiser_dec = (
            linear_of(layer) for layer in (network.mask, network.denoiser_enc, network.denoiser_dec)
        )

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return H_dec and the masked and denoised magnitudes of the T - 2L inner frames from mixture magnitudes (B, T, N)."""
        n_frames, low = mixture.shape[1], mixture[:, :, : self.n_low]
        forward = backward = mixture.new_zeros(len(mixture), self.n_low)
        encoded = []
        for frame in range(n_frames):
            forward = self.enc_forward(low[:, frame], forward)
            backward = self.enc_backward(low[:, n_frames - 1 - frame], backward)
            if self.n_context <= frame < n_frames - self.n_context:
                encoded.append(torch.cat((forward + low[:, frame], backward + low[:, n_frames - 1 - frame]), 1))  # Eq. 3, 4
        state = mixture.new_zeros(len(mixture), 2 * self.n_low)
        decoded = []
        for frame in encoded:
            state = self.dec(frame, state)
            decoded.append(state)
        h_dec = torch.stack(decoded, 1)
        masked = functional.relu(self.mask(h_dec)) * mixture[:, self.n_context : n_frames - self.n_context]  # Eq. 5 to 7
        denoised = functional.relu(self.denoiser_dec(functional.relu(self.denoiser_enc(masked)))) * masked  # Eq. 8
        return h_dec, masked, denoised

    def loss(self, mixture: Tensor, target: Tensor) -> Tensor:
        """Return the objective of MDL1: both divergences with their gate, and the penalties on H_dec and W_dec (Eq. 9, 10)."""
        h_dec, masked, denoised = self(mixture)
        kl_masked, kl_denoised = divergence(target, masked), divergence(target, denoised)
        total = kl_denoised + 1e-4 * self.denoiser_dec.weight.pow(2).sum() + 2e-7 * h_dec.abs().sum()
        if kl_masked.item() >= 1.5 and kl_denoised.item() >= 0.25:
            total = total + kl_masked
        return total


def divergence(target: Tensor, estimate: Tensor) -> Tensor:
    """Return the generalised Kullback-Leibler divergence: sum over bins, mean over sequences and frames, as in the published code."""
    terms = target * (torch.log(target + 1e-6) - torch.log(estimate + 1e-6)) + (estimate - target)
    return terms.sum(-1).mean()


def cell_of(gru: nn.GRU) -> nn.GRUCell:
    cell = nn.GRUCell(gru.input_size, gru.hidden_size).to(gru.weight_ih_l0.device)
    cell.load_state_dict({name.removesuffix("_l0"): tensor.clone() for name, tensor in gru.state_dict().items()})
    return cell


def linear_of(layer: nn.Linear) -> nn.Linear:
    copy = nn.Linear(layer.in_features, layer.out_features).to(layer.weight.device)
    copy.load_state_dict(layer.state_dict())
    return copy
