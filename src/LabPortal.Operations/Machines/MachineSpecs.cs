using LabPortal.Data;
using LabPortal.Data.Blueprints;
using LabPortal.Data.Images;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using LabPortal.Domain.Pools;

namespace LabPortal.Operations.Machines;

/// <summary>What a provider is told to make: the same for every attempt in one generation.</summary>
public sealed class MachineSpecs(Database database, GuestSeeds seeds, PortalIdentity identity)
{
    public async Task<MachineSpec> OfAsync(Lab lab, Machine machine, Pool pool, CancellationToken cancellation)
    {
        var image = await database.ReadAsync(session => ImageStore.FindAsync(session, machine.Image, machine.ImageVersion), cancellation)
            ?? throw new ProviderFault(FaultKind.Rejected, $"Version {machine.ImageVersion} of image \"{machine.Image}\" is no longer in the catalogue.");
        var binding = image.Bindings.GetValueOrDefault(pool.Provider)
            ?? throw new ProviderFault(FaultKind.Rejected, $"Image \"{machine.Image}\" has no binding for pools of the kind {pool.Provider}.");
        var blueprint = await database.ReadAsync(session => BlueprintStore.FindAsync(session, lab.Blueprint, lab.BlueprintVersion), cancellation);
        // The trial of a pool has none, and the one usual card.
        if (blueprint is null && lab.Blueprint.Length > 0)
            throw new ProviderFault(FaultKind.Rejected, $"Version {lab.BlueprintVersion} of blueprint \"{lab.Blueprint}\" is no longer in the catalogue.");
        return new MachineSpec(
            machine.OwnerIn(identity.Installation), machine.Host, machine.Name, $"{lab.Name} / {machine.Name}",
            new ImageBinding(image.Name, image.Version, binding), machine.Cpu, machine.MemoryMiB, machine.DiskGiB,
            await seeds.OfAsync(lab, machine, cancellation))
        {
            Cards = blueprint is null ? [CardSpec.Shared] : CardSpecs.Of(blueprint, machine.Name, machine.Cards, lab.OwnerIn(identity.Installation)),
            WarmStart = machine.WarmStart,
        };
    }
}
