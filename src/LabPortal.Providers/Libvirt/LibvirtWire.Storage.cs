using System.Runtime.InteropServices;
using System.Xml.Linq;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

internal sealed unsafe partial class LibvirtWire
{
    private const uint DeleteNormally = 0;
    private const int Chunk = 256 * 1024;
    private const int MostTries = 50;
    private static readonly TimeSpan s_whileRead = TimeSpan.FromMilliseconds(100);

    /// <summary>Hears each piece of a transfer that has gone out, or come in.</summary>
    public delegate void Piece(ReadOnlySpan<byte> piece);

    public PoolHandle? FindPool()
    {
        return Found(Native.virStoragePoolLookupByName(connection, host.StoragePool), LibvirtError.NoPool, $"find its storage pool \"{host.StoragePool}\"");
    }

    public PoolHandle Pool()
    {
        var pool = Native.virStoragePoolLookupByName(connection, host.StoragePool);
        return pool.IsInvalid ? throw Fault($"find its storage pool \"{host.StoragePool}\"") : pool;
    }

    public bool IsActive(PoolHandle pool)
    {
        return Must(Native.virStoragePoolIsActive(pool), "tell its storage pool's state") == 1;
    }

    public string ReadPoolType(PoolHandle pool)
    {
        var text = Native.virStoragePoolGetXMLDesc(pool, 0);
        if (text == 0) throw Fault("describe its storage pool");
        return XElement.Parse(Native.TakeText(text)).Attribute("type")?.Value ?? "";
    }

    public (long Capacity, long Free) ReadSpace(PoolHandle pool)
    {
        Must(Native.virStoragePoolGetInfo(pool, out var info), "tell its storage pool's size");
        return ((long)info.Capacity, (long)info.Available);
    }

    /// <summary>Makes libvirt look at its folder again: what libvirt did not make itself (a log that was rotated) is seen only then.</summary>
    public void Refresh(PoolHandle pool)
    {
        for (var attempt = 1; ; attempt++)
        {
            if (Native.virStoragePoolRefresh(pool, 0) == 0) return;
            // Refused while any volume of the pool is being made or filled, which on a busy host is often and never for long.
            if (attempt == 40 || !Native.Text(Native.virGetLastErrorMessage()).Contains("asynchronous jobs", StringComparison.Ordinal))
                throw Fault("refresh its storage pool");
            Pause(TimeSpan.FromMilliseconds(50));
        }
    }

    public IReadOnlyList<string> ListVolumes(PoolHandle pool)
    {
        var count = Must(Native.virStoragePoolListAllVolumes(pool, out var volumes, 0), "list its volumes");
        var names = new List<string>(count);
        for (var i = 0; i < count; i++)
        {
            using var volume = new VolumeHandle(volumes[i]);
            names.Add(Native.Text(Native.virStorageVolGetName(volume)));
        }

        NativeMemory.Free(volumes);
        return names;
    }

    public VolumeHandle? FindVolume(PoolHandle pool, string name)
    {
        return Found(Native.virStorageVolLookupByName(pool, name), LibvirtError.NoVolume, "look for a volume");
    }

    /// <summary>The volume of this name, which was there a moment ago.</summary>
    public VolumeHandle Again(PoolHandle pool, string name) => FindVolume(pool, name)
        ?? throw new ProviderFault(FaultKind.Transient, $"Volume \"{name}\" was there and then was not, on host \"{host.Name}\": somebody else removes it.");

    /// <summary>Null where one of that name is there already.</summary>
    public VolumeHandle? CreateVolume(PoolHandle pool, string xml)
    {
        return Found(Native.virStorageVolCreateXML(pool, xml, 0), LibvirtError.VolumeExists, "make a volume");
    }

    public string ReadPath(VolumeHandle volume)
    {
        var text = Native.virStorageVolGetPath(volume);
        return text == 0 ? throw Fault("tell a volume's path") : Native.TakeText(text);
    }

    public VolumeDescription Describe(VolumeHandle volume) => TryDescribe(volume) ?? throw Fault("describe a volume");

    /// <summary>Null where it is gone by now.</summary>
    public VolumeDescription? TryDescribe(VolumeHandle volume)
    {
        var text = Native.virStorageVolGetXMLDesc(volume, 0);
        if (text != 0) return VolumeDescription.Read(XElement.Parse(Native.TakeText(text)));
        return (LibvirtError)Native.virGetLastErrorCode() == LibvirtError.NoVolume ? null : throw Fault("describe a volume");
    }

    public long ReadSize(VolumeHandle volume)
    {
        Must(Native.virStorageVolGetInfo(volume, out var info), "tell a volume's size");
        return (long)info.Capacity;
    }

    /// <summary>The blocks that its file has at this moment: libvirt looks at the file anew.</summary>
    public long ReadAllocation(VolumeHandle volume)
    {
        Must(Native.virStorageVolGetInfo(volume, out var info), "tell what a volume takes");
        return (long)info.Allocation;
    }

    /// <summary>Done also where it was gone already. Whoever reads it at this moment (others read the marks of an import) is waited for a little.</summary>
    public void Delete(VolumeHandle volume)
    {
        for (var tries = 0; ; tries++, Pause(s_whileRead))
        {
            try
            {
                Did(Native.virStorageVolDelete(volume, DeleteNormally), "delete a volume", LibvirtError.NoVolume);
                return;
            }
            catch (ProviderFault fault) when (tries < MostTries && fault.Message.Contains(LibvirtFaults.InUse, StringComparison.Ordinal))
            {
            }
        }
    }

    /// <summary>A small raw volume with this content, whatever was there of that name.</summary>
    public void Fill(PoolHandle pool, string name, byte[] content)
    {
        using var volume = CreateVolume(pool, LibvirtMapping.Raw(name, content.Length).ToString()) ?? Again(pool, name);
        Upload(volume, new MemoryStream(content, writable: false));
    }

    /// <summary>Writes the whole of <paramref name="content"/>; a cut-off upload leaves a volume of which nothing may be believed.</summary>
    public void Upload(VolumeHandle volume, Stream content, Piece? sent = null)
    {
        using var stream = NewStream();
        Must(Native.virStorageVolUpload(volume, stream, 0, (ulong)content.Length, 0), "begin to fill a volume");
        var buffer = new byte[Chunk];
        try
        {
            for (int read; (read = content.Read(buffer)) > 0;)
            {
                for (var done = 0; done < read;)
                {
                    fixed (byte* data = buffer)
                    {
                        done += Must(Native.virStreamSend(stream, data + done, (nuint)(read - done)), "fill a volume");
                    }
                }

                sent?.Invoke(buffer.AsSpan(0, read));
            }
        }
        catch
        {
            _ = Native.virStreamAbort(stream);
            throw;
        }

        Must(Native.virStreamFinish(stream), "fill a volume to its end");
    }

    public byte[] Download(VolumeHandle volume, long offset, int length)
    {
        var content = new MemoryStream();
        Download(volume, offset, length, content.Write);
        return content.ToArray();
    }

    /// <summary>At the most <paramref name="length"/> bytes, less where the volume ends before.</summary>
    public void Download(VolumeHandle volume, long offset, long length, Piece came) => Receive(volume, offset, length, came);

    /// <summary>Null where it is gone by now, or still being made.</summary>
    public byte[]? TryDownload(VolumeHandle volume, int length, long offset = 0)
    {
        var content = new MemoryStream();
        return Receive(volume, offset, length, content.Write, LibvirtError.NoVolume, LibvirtError.OperationInvalid) ? content.ToArray() : null;
    }

    private bool Receive(VolumeHandle volume, long offset, long length, Piece came, params ReadOnlySpan<LibvirtError> harmless)
    {
        using var stream = NewStream();
        if (!Did(Native.virStorageVolDownload(volume, stream, (ulong)offset, (ulong)length, 0), "begin to read a volume", harmless)) return false;
        var buffer = new byte[(int)Math.Min(length, Chunk)];
        try
        {
            for (long done = 0; done < length;)
            {
                int read;
                fixed (byte* data = buffer)
                {
                    read = Must(Native.virStreamRecv(stream, data, (nuint)Math.Min(length - done, buffer.Length)), "read a volume");
                }

                if (read == 0) break;
                came(buffer.AsSpan(0, read));
                done += read;
            }
        }
        catch
        {
            _ = Native.virStreamAbort(stream);
            throw;
        }

        Must(Native.virStreamFinish(stream), "read a volume to its end");
        return true;
    }

    private StreamHandle NewStream()
    {
        var stream = Native.virStreamNew(connection, 0);
        return stream.IsInvalid ? throw Fault("open a stream") : stream;
    }
}
