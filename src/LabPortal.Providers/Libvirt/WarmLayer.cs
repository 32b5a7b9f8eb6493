using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// What the guest of a warm state wrote to its disk before it waited: its own overlay of the image, kept beside the memory. A machine that starts from that memory
/// has a copy of it as its own disk, straight on the image, so that nothing stands on a layer. libvirt copies a volume of qcow2 by all that it shows, the image with
/// it: a layer has another magic word, by which it is bytes to libvirt (and to QEMU nobody's disk), and which says that it is whole.
/// </summary>
internal static class WarmLayer
{
    private const string Kept = "raw";

    private static ReadOnlySpan<byte> Seal => "LPwl"u8;

    private static ReadOnlySpan<byte> Qcow2 => [(byte)'Q', (byte)'F', (byte)'I', 0xfb];

    /// <summary>Null where a state of this name has no layer, or none that is whole: <paramref name="half"/>.</summary>
    public static VolumeHandle? Find(LibvirtWire wire, PoolHandle pool, string state, out bool half)
    {
        half = false;
        var volume = wire.FindVolume(pool, state + WarmMapping.DiskSuffix);
        if (volume is null) return null;
        if (wire.TryDescribe(volume) is { Format: Kept } && wire.TryDownload(volume, Seal.Length) is { } begin && Seal.SequenceEqual(begin)) return volume;
        half = true;
        volume.Dispose();
        return null;
    }

    /// <summary>
    /// Makes the overlay of a guest that has ended a layer, or removes it where nothing was written since it was <paramref name="empty"/>: whatever is written needs a
    /// place behind that. Null where all is well, else why there is no state.
    /// </summary>
    public static string? Keep(LibvirtWire wire, PoolHandle pool, string state, long empty, string image)
    {
        using var disk = wire.Again(pool, state + WarmMapping.DiskSuffix);
        var length = wire.Describe(disk).Physical;
        if (length == empty) wire.Delete(disk);
        else if (length > (long)IWarmStartAbility.MostDiskMib << 20) return $"The guest of image \"{image}\" wrote {length >> 20} MiB to its disk before it waited; at the most {IWarmStartAbility.MostDiskMib} are kept.";
        else wire.Overwrite(disk, Seal.ToArray());
        return null;
    }

    /// <summary>Gives a machine that has never run this layer's content as its disk.</summary>
    public static void CopyTo(LibvirtWire wire, PoolHandle pool, VolumeHandle layer, string disk)
    {
        WarmState.Delete(wire, pool, disk);
        using var copy = wire.Copy(pool, layer, disk);
        wire.Overwrite(copy, Qcow2.ToArray());
    }
}
