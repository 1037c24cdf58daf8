"""Training of networks: configuration, patches from drawn scans, augmentation, losses, and the loop around them.

``vesselseg train CONFIG --output DIR`` trains what a JSON file describes (`vesselseg.training.config.TrainingConfig`),
or a configuration that ships: ``small`` draws its own scans and is done in minutes, ``paper-half-unet`` is the scheme
of Livne et al. 2019, ``default`` the recipe of the default model; the last two take scans from the folders ``train``
and ``validation`` of the working folder, as ``vesselseg synthesize`` draws them.

A run that was stopped or killed goes on when the same command is given again. Each step is a function of the weights,
of the optimiser's state and of the seed: patches and dropout have a generator of their own for each step, so that no
state of a generator has to be kept. On a processor with one thread the resumed run gives the very curve and the very
weights of an uninterrupted one, to the last bit, with any number of workers.

On several GPUs: ``torchrun --nproc-per-node 4 -m vesselseg train CONFIG --output DIR``; `batch_size` counts for each.

``vesselseg train --finetune MODEL --cases DIR... --output DIR`` lets a model learn from corrected scans
(`vesselseg.training.finetuning.finetune`).
"""
