"""An analytic head in mm: how much of each tissue there is at any point.

A structure is a depth, positive inside; `tissues` paints one over another. Coordinates are near
MNI152's (x right, y anterior, z superior); u is a point with |x|, so that both hemispheres are
drawn at once. Nothing depends on a voxel grid: one subject can be seen at any resolution. The
anatomy is drawn by hand and copies nobody's scan.
"""

import math
from dataclasses import dataclass

import torch

from brainweave.data.implicit import (
    Depth,
    Points,
    Triple,
    Waves,
    both,
    capsule,
    ellipsoid,
    field,
    sheet,
    to_zero,
    union,
    waves,
)

TISSUES = ("csf", "vein", "grey", "deep", "pallidum", "stem", "white", "halo")
Structure = tuple[str, Depth]


@dataclass(frozen=True)
class Head:
    """One subject's anatomy, lengths in mm.

    decline: 0 at 20 years, 1 at 80. scale: size along x, y, z. ventricle: factor on the radii of
    the ventricles. rim: CSF between brain and mask. sulcus: half the width of a sulcus. cortex:
    its thickness. folds, depths: where sulci run and how deep. bends: small displacements of all.
    """

    decline: float
    scale: Triple
    ventricle: float
    rim: float
    sulcus: float
    cortex: float
    folds: Waves
    depths: Waves
    bends: tuple[Waves, Waves, Waves]

    @classmethod
    def draw(cls, *, age: float, sex: str, generator: torch.Generator) -> "Head":
        """A subject of this age (years) and sex ("F", "M"); `generator` makes an individual.

        With one generator's state, age and sex change only what they change in a person.
        """
        size, *edges, a, b, c, d = torch.randn(8, generator=generator).clamp(-2.2, 2.2).tolist()
        decline = min(max((age - 20) / 60, -0.3), 1.3)
        loss = max(decline, 0.0)
        size = (0.998 if sex == "M" else 0.96) * (1 + 0.012 * size)
        x, y, z = (size * (1 + 0.012 * edge) for edge in edges)
        return cls(
            decline=decline,
            scale=(x, y, z),
            ventricle=(0.92 + 0.35 * decline + 0.62 * loss**2) * math.exp(0.14 * a),
            rim=1.2 + 1.8 * loss * (1 + 0.2 * b),
            sulcus=0.45 + 0.95 * loss * (1 + 0.15 * c),
            cortex=3.1 - 0.6 * decline + 0.1 * d,
            folds=waves(20, 23.0, generator),
            depths=waves(8, 34.0, generator),
            bends=(_bend(generator), _bend(generator), _bend(generator)),
        )


def canonical(head: Head, points: Points) -> Points:
    """A subject's points in the head that all share, bent a little differently in each."""
    p = points / points.new_tensor(head.scale)[:, None]
    bends = torch.stack([field(bend, p) for bend in head.bends])
    return p + bends * p.new_tensor([[0.8], [1.8], [1.8]])


def mask_depth(p: Points) -> Depth:
    """The depth in the brain mask: the brain, its cisterns and a thin rim of CSF."""
    u = _mirrored(p)
    fossa = both(_vault(u) - 2, u[2] + 26 - 0.08 * u[0], -8 - u[1])
    below = union(_cerebellum(u), _brainstem(p), 8.0)
    return union(union(_cerebrum(u), fossa, 6.0), below, 14.0)


def tissues(head: Head, p: Points, softness: float) -> dict[str, Depth]:
    """The fraction of each of TISSUES at canonical points; those of a point add up to one.

    softness: mm over which borders blur; a voxel's edge gives about its partial volumes.
    """
    u = _mirrored(p)
    found = {name: torch.zeros_like(p[0]) for name in TISSUES}
    found["csf"] += 1
    for name, depth in _cortex_and_white(head, p, u) + _nuclei_and_ventricles(head, p, u):
        weight = (0.5 + depth / softness).clamp_(0, 1)
        for fraction in found.values():
            fraction -= fraction * weight
        found[name] += weight
    return found


def _bend(generator: torch.Generator) -> Waves:
    return torch.cat([waves(2, 110.0, generator), waves(2, 45.0, generator)], dim=1)


def _mirrored(p: Points) -> Points:
    return torch.stack([p[0].abs(), p[1], p[2]])


def _cerebrum(u: Points) -> Depth:
    """Hemispheres and temporal lobes, without fissures and sulci."""
    x, y, z = u
    pole = torch.stack([x + 0.12 * (y + 16), y, z + 0.2 * (y + 14)])
    temporal = ellipsoid(pole, (46, -18, -23), (22, 44, 21))
    return union(-union(-_vault(u), _floor(u) - z, 12.0), temporal, 5.0)


def _vault(u: Points) -> Depth:
    """An ellipsoid with fuller corners, widest over the parietal lobes."""
    x = (u[0] * (1 + 0.0009 * (u[1] + 25)) / 70).square()
    y, z = ((u[1] + 18) / 88).square(), ((u[2] - 6) / 71).square()
    corners = 0.55 * (x * y + y * z + z * x)
    size = ((x + y + z).square() - corners).clamp_min(1e-6).sqrt()
    slope = 2 * (x / 70**2 + y / 88**2 + z / 71**2).sqrt()
    return (1 - size) / slope.clamp_min(1 / 90)


def _floor(u: Points) -> Depth:
    """The height of the skull's base under the frontal lobes, behind it of the tentorium."""
    tent = 25 * torch.exp(-((u[1] + 48) / 25).square() - (u[0] / 40).square())
    return -29 + 3 * torch.sigmoid(-(u[1] + 15) / 8) + tent - 0.06 * u[0]


def _cerebellum(u: Points) -> Depth:
    hemisphere = ellipsoid(u, (25, -66, -34), (33, 33, 25))
    whole = union(hemisphere, ellipsoid(u, (0, -61, -26), (18, 27, 31)), 9.0)
    return both(whole, _floor(u) - 1 - u[2])


def _brainstem(p: Points) -> Depth:
    midbrain = capsule(p, ((0, -21, -12), (0, -25, -20)), (14, 13))
    pons = ellipsoid(p, (0, -25, -31), (18, 12.5, 15))
    medulla = capsule(p, ((0, -31, -44), (0, -40, -75)), (9.5, 7))
    return union(union(midbrain, pons, 5.0), medulla, 6.0)


def _cortex_and_white(head: Head, p: Points, u: Points) -> list[Structure]:
    """Grey and white matter by their distance to the pia, then the brainstem in its cisterns."""
    folia, arbor = _folia(head, u)
    pia = _pia(head, p, u)
    stem = _brainstem(p)
    bridge = _bridge(u)
    peduncle = capsule(u, ((8, -29, -33), (24, -50, -36)), (8, 6))
    return [
        ("vein", both(2.8 - u[0], 4.5 - _vault(u), u[2] + 10)),
        ("grey", folia),
        ("white", arbor),
        ("white", both(peduncle, folia - 1)),
        ("grey", pia),
        ("white", pia - head.cortex),
        ("white", both(bridge, 6.5 - bridge, u[2] + 3) - 0.015 * u[0].square()),
        ("csf", both(stem + 2.5, -8 - u[2])),
        ("csf", ellipsoid(u, (0, 4, -20), (10, 8, 4))),
        ("stem", stem),
    ]


def _bridge(u: Points) -> Depth:
    """The part of the midline that joins the hemispheres; its upper border is the callosum."""
    midline = u * u.new_tensor([[0.0], [1.0], [1.0]])
    return ellipsoid(midline, (0, -6, -2), (60, 36, 28))


def _pia(head: Head, p: Points, u: Points) -> Depth:
    """The distance to the nearest pia of the cerebrum: surface, fissures and sulci."""
    x, y, z = u
    bridge = _bridge(u)
    fissure = sheet(x, [bridge]) - 0.2 - 0.5 * head.sulcus
    over = bridge + 10 + 0.5 * x + 2 * torch.sin(y / 8)
    cingulate = sheet(over, [x - 7, -40 - y, -5 - z]) - head.sulcus
    slope = z + 8 + 0.42 * (y - 12) + 2.5 * torch.sin(x / 5) + 2.5 * torch.sin(y / 7)
    lateral = sheet(0.92 * slope, [40 - x, y - 20, -40 - y])
    insula = sheet(x - 39 + 0.1 * y, [y - 20, -26 - y, slope - 11, -9 - slope])
    sylvian = both(lateral, insula) - 0.5 - head.sulcus
    surface = _cerebrum(u) - head.rim
    return both(surface, fissure, cingulate, sylvian, _sulci(head, p, surface))


def _sulci(head: Head, p: Points, surface: Depth) -> Depth:
    """The distance to the zeros of a field that changes little along the way inwards."""
    side = torch.where(p[0] < 0, -1.0, 1.0)
    inward = torch.stack([p[0] - 24 * side, p[1] + 18, p[2] - 6])
    axes = p.new_tensor([[46.0], [88.0], [66.0]])
    radius = (inward / axes).square().sum(dim=0).sqrt().clamp_min(0.2)
    radial = -0.6 * torch.sigmoid((p[2] + 12) / 5)  # temporal lobes fold in all directions
    across = to_zero(head.folds, inward * radius**radial)
    central = (p - p.new_tensor([[0.0], [-12.0], [-6.0]])) / p.new_tensor([[30.0], [36.0], [26.0]])
    nuclei = 40 * torch.exp(-central.square().sum(dim=0))
    reach = 24 + 7 * field(head.depths, p)
    return sheet(across, [surface + nuclei - reach]) - head.sulcus


def _folia(head: Head, u: Points) -> tuple[Depth, Depth]:
    """The cerebellum's pia and its tree of white matter, which fans out from the fastigium."""
    depth = _cerebellum(u) - 0.6 * head.rim
    y, z = u[1] + 40, u[2] + 35
    angle = torch.atan2(z, -y) + 0.012 * u[0]
    leaf = torch.sin(9 * angle).abs() * 0.11 * (y.square() + z.square()).sqrt()
    leaf = leaf.clamp_max(5)
    folia = both(depth, sheet(leaf, [depth - 8]) - 0.3 - 0.4 * head.sulcus)
    return folia, both(depth - 14 + 2 * leaf, leaf - 1.4)


def _nuclei_and_ventricles(head: Head, p: Points, u: Points) -> list[Structure]:
    wide = 2.4 * (head.ventricle - 0.9)
    tilted = torch.stack([u[0] + 0.28 * (u[1] - 2), u[1], u[2]])
    shrunk = 0.6 * head.decline
    ventricles = _ventricles(head, p, u)
    return [
        ("halo", ventricles + 0.8 + 2.5 * max(head.decline, 0.0) ** 2),
        ("grey", capsule(u, ((25, -14, -19), (27, -36, -4)), (5.2 - shrunk, 3.4))),  # hippocampus
        ("grey", ellipsoid(u, (23, -3, -19), (7, 7, 7))),  # amygdala
        ("deep", capsule(u, ((12.5 + wide, 15, 3), (16 + wide, -16, 21)), (6.0, 2.2))),  # caudate
        ("deep", ellipsoid(tilted, (27.5, 2, 2), (5.5, 16, 9.5))),  # putamen
        ("pallidum", ellipsoid(tilted, (19.5, -3, 0), (3.8, 9.0, 6.5))),
        ("deep", ellipsoid(u, (11.5 + 0.4 * wide, -18, 7), (8.5, 14.5, 8.5))),  # thalamus
        ("csf", ventricles),
    ]


def _ventricles(head: Head, p: Points, u: Points) -> Depth:
    """Lateral, third and fourth ventricle and the aqueduct."""
    grow, wide = head.ventricle, 1.6 * (head.ventricle - 0.9)
    front, waist, back = (13 + wide, 26.0, 5.0), (6 + wide, 9.0, 17.0), (9.5 + wide, -20.0, 19.5)
    atrium, temporal, occipital = (23 + wide, -43.0, 9.0), (32.0, -12.0, -18.0), (21.0, -68.0, 2.0)
    body = union(
        capsule(u, (waist, back), (3.4 * grow, 3.6 * grow)),
        capsule(u, (back, atrium), (3.6 * grow, 4.6 * grow)),
        3.0,
    )
    frontal_horn = capsule(u, (front, waist), (2.6 * grow, 3.4 * grow))
    temporal_horn = capsule(u, (atrium, temporal), (3.6 * grow, 1.4 * grow))
    occipital_horn = capsule(u, (atrium, occipital), (4.0 * grow, 0.8 * grow))
    lateral = union(union(frontal_horn, body, 3.0), union(occipital_horn, temporal_horn, 3.0), 3.0)
    septum = u[0] - 0.8
    third = both(ellipsoid(p, (0, -14, 0), (40, 14, 8)), 0.5 + 1.1 * grow - u[0])
    fourth = ellipsoid(p, (0, -41, -33), (6 * grow**0.5, 4.5, 9))
    aqueduct = capsule(p, ((0, -29, -3), (0, -38, -26)), (0.9, 1.3))
    return -both(-both(lateral, septum), -third, -fourth, -aqueduct)
