"""Names that LaTeX has for signs of formulas."""

from __future__ import annotations

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon"
    " phi chi psi omega"
)
_CAPITALS = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
             "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"}  # fmt: skip
_NAMED = """
ϵ epsilon ε varepsilon ϑ vartheta ϕ phi φ varphi ϖ varpi ϱ varrho
× times ÷ div · cdot ⋅ cdot ± pm ∓ mp ∗ ast ⋆ star ∘ circ ∙ bullet ⊕ oplus ⊗ otimes ⊖ ominus ⊙ odot ∧ wedge ∨ vee
∩ cap ∪ cup ∖ setminus ⊎ uplus ⋃ bigcup ⋂ bigcap ⋁ bigvee ⋀ bigwedge ⨁ bigoplus ⨂ bigotimes
≤ leq ≥ geq ⩽ leqslant ⩾ geqslant ≪ ll ≫ gg ≠ neq ≡ equiv ≈ approx ≅ cong ≃ simeq ∼ sim ∝ propto ≜ triangleq ≐ doteq
≺ prec ≻ succ ⪯ preceq ⪰ succeq ∣ mid ∥ parallel ⊥ perp ⊢ vdash ⊨ models ⊤ top ∤ nmid
∈ in ∉ notin ∋ ni ⊂ subset ⊃ supset ⊆ subseteq ⊇ supseteq ⊊ subsetneq ∅ emptyset
∑ sum ∏ prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint √ surd ∞ infty ∂ partial ∇ nabla ∀ forall ∃ exists ∄ nexists ¬ neg
→ to ← leftarrow ↔ leftrightarrow ⇒ Rightarrow ⇐ Leftarrow ⇔ Leftrightarrow ⟹ implies ⟺ iff ⟶ longrightarrow
⟵ longleftarrow ↦ mapsto ⟼ longmapsto ↑ uparrow ↓ downarrow ↪ hookrightarrow ⇌ rightleftharpoons ↗ nearrow ↘ searrow
… ldots ⋯ cdots ⋮ vdots ⋱ ddots ′ prime ℓ ell ℏ hbar ℜ Re ℑ Im ℘ wp ℵ aleph ∠ angle △ triangle □ square ◻ square
⟨ langle ⟩ rangle 〈 langle 〉 rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil † dagger ‡ ddagger
⊲ triangleleft ⊳ triangleright
"""
_BLACKBOARD = {"ℝ": "R", "ℕ": "N", "ℤ": "Z", "ℚ": "Q", "ℂ": "C", "ℙ": "P", "𝔼": "E", "𝔽": "F", "ℍ": "H", "𝟙": "1"}

SYMBOLS: dict[str, str] = {
    **{chr(0x3B1 + place): "\\" + name for place, name in enumerate(_GREEK.split()) if name != "omicron"},
    **{sign: "\\" + name for sign, name in _CAPITALS.items()},
    **{sign: "\\" + name for sign, name in zip(_NAMED.split()[::2], _NAMED.split()[1::2], strict=True)},
    **{sign: f"\\mathbb{{{letter}}}" for sign, letter in _BLACKBOARD.items()},
    "−": "-",
    "′": "'",
    "″": "''",
    "‴": "'''",
    "‖": r"\|",
    "∥": r"\|",
    "°": r"^\circ",
    "\\": r"\backslash",
    "~": r"\sim",
    "{": r"\{",
    "}": r"\}",
    "\u00a0": " ",
    "\u2009": " ",
}

FUNCTIONS = frozenset(
    {
        "arccos", "arcsin", "arctan", "arg", "cos", "cosh", "cot", "coth", "csc", "deg", "det", "dim", "exp", "gcd",
        "hom", "inf", "ker", "lg", "lim", "liminf", "limsup", "ln", "log", "max", "min", "sec", "sin", "sinh", "sup",
        "tan", "tanh",
    }
)  # fmt: skip

ACCENTS_ABOVE = {
    "¯": "overline", "‾": "overline", "―": "overline", "\u0305": "overline", "_": "overline", "ˉ": "bar", "^": "hat",
    "ˆ": "hat", "\u0302": "hat", "~": "tilde", "˜": "tilde", "∼": "tilde", "\u0303": "tilde", "→": "vec", "⃗": "vec",
    "⇀": "vec", "˙": "dot", ".": "dot", "\u0307": "dot", "¨": "ddot", "..": "ddot", "˘": "breve", "ˇ": "check",
    "⏞": "overbrace", "︷": "overbrace", "←": "overleftarrow",
}  # fmt: skip
ACCENTS_BELOW = {"_": "underline", "¯": "underline", "̲": "underline", "‾": "underline", "⏟": "underbrace",
                 "︸": "underbrace"}  # fmt: skip
