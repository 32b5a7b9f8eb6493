using System.Net;
using System.Runtime.InteropServices;
using System.Xml.Linq;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// The calls that we make of libvirt, typed, over one connection: blocking, in a process of its own (<see cref="LibvirtChild"/>).
/// What is not there is null or false; everything else that fails is a fault.
/// </summary>
internal sealed unsafe class LibvirtWire(ConnectHandle connection, LibvirtHostSettings host, Action<long> report)
{
    private const uint StatsState = 1;
    private const uint StatsNoWait = 1u << 29;
    private const uint AddressesFromAgent = 1;
    private const uint UndefineAll = 1 | 2 | 4 | 16; // managed save, snapshot metadata, NVRAM, checkpoint metadata
    private const uint StartAutodestroy = 2;
    private const uint DeleteNormally = 0;
    private const int Chunk = 256 * 1024;

    private static readonly ManualResetEventSlim Never = new();

    public static ProviderFault LastFault(string doing, string host, bool alive)
    {
        var code = (LibvirtError)Native.virGetLastErrorCode();
        return LibvirtFaults.From(code, Native.Text(Native.virGetLastErrorMessage()), doing, host, alive);
    }

    /// <summary>Hears each piece of a transfer that has gone out.</summary>
    public delegate void Sent(ReadOnlySpan<byte> piece);

    public LibvirtHostSettings Host => host;

    /// <summary>How far a transfer is, in bytes: whoever waits for it knows then that it is alive.</summary>
    public void Report(long bytes) => report(bytes);

    /// <summary>Waits, on the one thread that there is.</summary>
    public static void Pause(TimeSpan moment) => Never.WaitHandle.WaitOne(moment);

    public (int Cpus, long MemoryMiB) ReadNode()
    {
        Must(Native.virNodeGetInfo(connection, out var info), "tell its size");
        return ((int)info.Cpus, (long)(info.MemoryKiB / 1024));
    }

    public bool OffersKvm()
    {
        var text = Native.virConnectGetCapabilities(connection);
        if (text == 0) throw Fault("tell its capabilities");
        return XDocument.Parse(Native.TakeText(text)).Descendants("domain").Any(domain => domain.Attribute("type")?.Value == "kvm");
    }

    /// <summary>All domains of the host with their state, in one call.</summary>
    public IReadOnlyList<DomainState> ListDomains()
    {
        var count = Native.virConnectGetAllDomainStats(connection, StatsState, out var records, StatsNoWait);
        Must(count, "list its machines");
        try
        {
            var domains = new List<DomainState>(count);
            var uuid = stackalloc byte[37];
            for (var i = 0; i < count; i++)
            {
                var record = records[i];
                if (Native.virTypedParamsGetInt(record->Parameters, record->Count, "state.state", out var state) != 1) state = 0;
                if (Native.virTypedParamsGetInt(record->Parameters, record->Count, "state.reason", out var reason) != 1) reason = 0;
                _ = Native.virDomainGetUUIDString(record->Domain, uuid);
                domains.Add(new DomainState(Native.Text(Native.virDomainGetName(record->Domain)), Native.Text((nint)uuid), (LifeState)state, reason));
            }

            return domains;
        }
        finally
        {
            Native.virDomainStatsRecordListFree(records);
        }
    }

    public DomainHandle? FindDomain(string name)
    {
        return Found(Native.virDomainLookupByName(connection, name), LibvirtError.NoDomain, "look for a machine");
    }

    public DomainHandle Define(string xml)
    {
        var domain = Native.virDomainDefineXMLFlags(connection, xml, 0);
        return domain.IsInvalid ? throw Fault("define the machine") : domain;
    }

    /// <summary>Starts a machine that is not defined: it is running, or it is not there.</summary>
    public DomainHandle StartUndefined(string xml)
    {
        var domain = Native.virDomainCreateXML(connection, xml, 0);
        return domain.IsInvalid ? throw Fault("start the machine") : domain;
    }

    public bool IsDefined(DomainHandle domain)
    {
        return Must(Native.virDomainIsPersistent(domain), "tell whether a machine is defined") == 1;
    }

    public (LifeState State, int Reason)? ReadState(DomainHandle domain)
    {
        return Did(Native.virDomainGetState(domain, out var state, out var reason, 0), "tell a machine's state", LibvirtError.NoDomain)
            ? ((LifeState)state, reason)
            : null;
    }

    /// <summary>False where it runs already.</summary>
    public bool Start(DomainHandle domain, bool dieWithConnection = false)
    {
        return Did(Native.virDomainCreateWithFlags(domain, dieWithConnection ? StartAutodestroy : 0), "start the machine", LibvirtError.OperationInvalid);
    }

    public void AskToShutDown(DomainHandle domain)
    {
        Did(Native.virDomainShutdownFlags(domain, 0), "ask the machine to shut down", LibvirtError.OperationInvalid, LibvirtError.NoDomain);
    }

    public bool Reset(DomainHandle domain)
    {
        return Did(Native.virDomainReset(domain, 0), "restart the machine", LibvirtError.OperationInvalid);
    }

    public void TakePowerAway(DomainHandle domain)
    {
        Did(Native.virDomainDestroyFlags(domain, 0), "take the machine's power away", LibvirtError.OperationInvalid, LibvirtError.NoDomain);
    }

    public void Undefine(DomainHandle domain)
    {
        Did(Native.virDomainUndefineFlags(domain, UndefineAll), "remove the machine", LibvirtError.NoDomain);
    }

    /// <summary>What the guest's own agent says; empty where none runs.</summary>
    public IReadOnlyList<IPAddress> AskAgentForAddresses(DomainHandle domain)
    {
        var count = Native.virDomainInterfaceAddresses(domain, out var cards, AddressesFromAgent, 0);
        // No agent, not yet, or not running any more: an address that nobody tells is no fault.
        if (count < 0) return Alive ? [] : throw Fault("tell a machine's addresses");
        var addresses = new List<IPAddress>();
        for (var i = 0; i < count; i++)
        {
            for (var j = 0; j < cards[i]->Count; j++)
            {
                if (IPAddress.TryParse(Native.Text(cards[i]->Addresses[j].Address), out var address)
                    && !IPAddress.IsLoopback(address) && !address.IsIPv6LinkLocal)
                {
                    addresses.Add(address);
                }
            }

            Native.virDomainInterfaceFree(cards[i]);
        }

        NativeMemory.Free(cards);
        return addresses;
    }

    public NetworkHandle? FindNetwork(string name)
    {
        return Found(Native.virNetworkLookupByName(connection, name), LibvirtError.NoNetwork, "look for a network");
    }

    public bool IsActive(NetworkHandle network)
    {
        return Must(Native.virNetworkIsActive(network), "tell a network's state") == 1;
    }

    public IReadOnlyList<string> ListNetworks()
    {
        var count = Must(Native.virConnectListAllNetworks(connection, out var networks, 0), "list its networks");
        var names = new List<string>(count);
        for (var i = 0; i < count; i++)
        {
            using var network = new NetworkHandle(networks[i]);
            names.Add(Native.Text(Native.virNetworkGetName(network)));
        }

        NativeMemory.Free(networks);
        return names;
    }

    public void Remove(NetworkHandle network)
    {
        Did(Native.virNetworkDestroy(network), "stop a network", LibvirtError.OperationInvalid, LibvirtError.NoNetwork);
        Did(Native.virNetworkUndefine(network), "remove a network", LibvirtError.NoNetwork);
    }

    /// <summary>The addresses that the network's DHCP server gave out, newest first; empty for a network that has none.</summary>
    public IReadOnlyList<Lease> ListLeases(NetworkHandle network)
    {
        var count = Native.virNetworkGetDHCPLeases(network, 0, out var leases, 0);
        if (count < 0)
        {
            return (LibvirtError)Native.virGetLastErrorCode() is LibvirtError.NoSupport or LibvirtError.OperationInvalid or LibvirtError.NoNetwork
                ? []
                : throw Fault("tell its DHCP leases");
        }

        var list = new List<Lease>(count);
        for (var i = 0; i < count; i++)
        {
            var lease = leases[i];
            if (IPAddress.TryParse(Native.Text(lease->Address), out var address)) list.Add(new Lease(Native.Text(lease->Mac), address, lease->Expiry));
            Native.virNetworkDHCPLeaseFree(lease);
        }

        NativeMemory.Free(leases);
        return [.. list.OrderByDescending(lease => lease.Expiry)];
    }

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

    public VolumeDescription Describe(VolumeHandle volume)
    {
        var text = Native.virStorageVolGetXMLDesc(volume, 0);
        return text == 0 ? throw Fault("describe a volume") : VolumeDescription.Read(XElement.Parse(Native.TakeText(text)));
    }

    public long ReadSize(VolumeHandle volume)
    {
        Must(Native.virStorageVolGetInfo(volume, out var info), "tell a volume's size");
        return (long)info.Capacity;
    }

    /// <summary>True also where it was gone already.</summary>
    public void Delete(VolumeHandle volume)
    {
        Did(Native.virStorageVolDelete(volume, DeleteNormally), "delete a volume", LibvirtError.NoVolume);
    }

    /// <summary>A small raw volume with this content, whatever was there of that name.</summary>
    public void Fill(PoolHandle pool, string name, byte[] content)
    {
        using var volume = CreateVolume(pool, LibvirtMapping.Raw(name, content.Length).ToString()) ?? Again(pool, name);
        Upload(volume, new MemoryStream(content, writable: false));
    }

    /// <summary>Writes the whole of <paramref name="content"/>; a cut-off upload leaves a volume of which nothing may be believed.</summary>
    public void Upload(VolumeHandle volume, Stream content, Sent? sent = null)
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
        using var stream = NewStream();
        Must(Native.virStorageVolDownload(volume, stream, (ulong)offset, (ulong)length, 0), "begin to read a volume");
        var buffer = new byte[length];
        var done = 0;
        try
        {
            while (done < length)
            {
                fixed (byte* data = buffer)
                {
                    var read = Must(Native.virStreamRecv(stream, data + done, (nuint)(length - done)), "read a volume");
                    if (read == 0) break;
                    done += read;
                }
            }
        }
        catch
        {
            _ = Native.virStreamAbort(stream);
            throw;
        }

        Must(Native.virStreamFinish(stream), "read a volume to its end");
        return buffer[..done];
    }

    private StreamHandle NewStream()
    {
        var stream = Native.virStreamNew(connection, 0);
        return stream.IsInvalid ? throw Fault("open a stream") : stream;
    }

    private bool Alive => Native.virConnectIsAlive(connection) == 1;

    private int Must(int result, string doing) => result < 0 ? throw Fault(doing) : result;

    /// <summary>False where it failed only because the world is already as wanted.</summary>
    private bool Did(int result, string doing, params ReadOnlySpan<LibvirtError> harmless)
    {
        if (result >= 0) return true;
        return harmless.Contains((LibvirtError)Native.virGetLastErrorCode()) ? false : throw Fault(doing);
    }

    private T? Found<T>(T handle, LibvirtError absent, string doing)
        where T : SafeHandle
    {
        if (!handle.IsInvalid) return handle;
        handle.Dispose();
        return (LibvirtError)Native.virGetLastErrorCode() == absent ? null : throw Fault(doing);
    }

    private ProviderFault Fault(string doing)
    {
        // Asking whether the connection lives would wipe the error out.
        var code = (LibvirtError)Native.virGetLastErrorCode();
        var message = Native.Text(Native.virGetLastErrorMessage());
        return LibvirtFaults.From(code, message, doing, host.Name, Alive);
    }
}

/// <summary>libvirt's <c>virDomainState</c>.</summary>
internal enum LifeState
{
    None = 0,
    Running = 1,
    Blocked = 2,
    Paused = 3,
    ShuttingDown = 4,
    ShutOff = 5,
    Crashed = 6,
    Suspended = 7,
}

internal sealed record DomainState(string Name, string Uuid, LifeState State, int Reason);

internal sealed record Lease(string Mac, IPAddress Address, long Expiry);
