using LabPortal.Domain.Pools;

namespace LabPortal.Providers;

/// <summary>Every kind of provider that this build knows: one line each.</summary>
public static class ProviderKinds
{
    public static IReadOnlyList<IProviderKind> All { get; } =
    [
        new Aws.AwsKind(),
        new Azure.AzureKind(),
        new HyperV.HyperVKind(),
        new Libvirt.LibvirtKind(),
        new Simulated.SimulatedKind(),
    ];
}
