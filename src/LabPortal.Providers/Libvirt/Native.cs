using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// libvirt's C library, as its headers declare it (libvirt 9.0, <c>libvirt-*.h</c>; https://libvirt.org/html/).
/// Every call blocks, and leaves its error in the calling thread. Only <see cref="LibvirtWire"/> calls it, in a process that does
/// nothing else, and there from one thread: with several on one connection it ends the process (<see cref="LibvirtChild"/>).
/// </summary>
internal static unsafe partial class Native
{
    private const string Library = "libvirt.so.0";

    [LibraryImport(Library)]
    public static partial int virInitialize();

    [LibraryImport(Library)]
    public static partial void virSetErrorFunc(nint userData, delegate* unmanaged<nint, nint, void> handler);

    [LibraryImport(Library)]
    public static partial int virGetLastErrorCode();

    [LibraryImport(Library)]
    public static partial nint virGetLastErrorMessage();

    [LibraryImport(Library)]
    public static partial void virResetLastError();

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial ConnectHandle virConnectOpen(string uri);

    [LibraryImport(Library)]
    public static partial int virConnectClose(nint connection);

    /// <summary>A round trip to the daemon, and the cheapest.</summary>
    [LibraryImport(Library)]
    public static partial int virConnectGetLibVersion(ConnectHandle connection, out nuint version);

    /// <summary>QEMU's own version.</summary>
    [LibraryImport(Library)]
    public static partial int virConnectGetVersion(ConnectHandle connection, out nuint version);

    [LibraryImport(Library)]
    public static partial int virConnectIsAlive(ConnectHandle connection);

    [LibraryImport(Library)]
    public static partial nint virConnectGetCapabilities(ConnectHandle connection);

    [LibraryImport(Library)]
    public static partial int virNodeGetInfo(ConnectHandle connection, out NodeInfo info);

    [LibraryImport(Library)]
    public static partial int virConnectGetAllDomainStats(ConnectHandle connection, uint stats, out StatsRecord** records, uint flags);

    [LibraryImport(Library)]
    public static partial void virDomainStatsRecordListFree(StatsRecord** records);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int virTypedParamsGetInt(nint parameters, int count, string name, out int value);

    [LibraryImport(Library)]
    public static partial nint virDomainGetName(nint domain);

    [LibraryImport(Library)]
    public static partial int virDomainGetUUIDString(nint domain, byte* text);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial DomainHandle virDomainLookupByName(ConnectHandle connection, string name);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial DomainHandle virDomainDefineXMLFlags(ConnectHandle connection, string xml, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial DomainHandle virDomainCreateXML(ConnectHandle connection, string xml, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainIsPersistent(DomainHandle domain);

    [LibraryImport(Library)]
    public static partial int virDomainGetState(DomainHandle domain, out int state, out int reason, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainCreateWithFlags(DomainHandle domain, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainShutdownFlags(DomainHandle domain, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainReset(DomainHandle domain, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainDestroyFlags(DomainHandle domain, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainUndefineFlags(DomainHandle domain, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainInterfaceAddresses(DomainHandle domain, out DomainInterface** interfaces, uint source, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainAgentSetResponseTimeout(DomainHandle domain, int seconds, uint flags);

    [LibraryImport(Library)]
    public static partial void virDomainInterfaceFree(DomainInterface* card);

    [LibraryImport(Library)]
    public static partial int virDomainFree(nint domain);

    [LibraryImport(Library)]
    public static partial int virConnectListAllDomains(ConnectHandle connection, out nint* domains, uint flags);

    [LibraryImport(Library)]
    public static partial nint virDomainGetXMLDesc(DomainHandle domain, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int virDomainSaveFlags(DomainHandle domain, string file, string? xml, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int virDomainRestoreFlags(ConnectHandle connection, string file, string? xml, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int virDomainGetBlockInfo(DomainHandle domain, string disk, out BlockInfo info, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int virDomainBlockResize(DomainHandle domain, string disk, ulong size, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainSetTime(DomainHandle domain, long seconds, uint nanoseconds, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial SnapshotHandle virDomainSnapshotCreateXML(DomainHandle domain, string xml, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial SnapshotHandle virDomainSnapshotLookupByName(DomainHandle domain, string name, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainListAllSnapshots(DomainHandle domain, out nint* snapshots, uint flags);

    [LibraryImport(Library)]
    public static partial nint virDomainSnapshotGetName(SnapshotHandle snapshot);

    [LibraryImport(Library)]
    public static partial nint virDomainSnapshotGetXMLDesc(SnapshotHandle snapshot, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainRevertToSnapshot(SnapshotHandle snapshot, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainSnapshotDelete(SnapshotHandle snapshot, uint flags);

    [LibraryImport(Library)]
    public static partial int virDomainSnapshotFree(nint snapshot);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NetworkHandle virNetworkLookupByName(ConnectHandle connection, string name);

    [LibraryImport(Library)]
    public static partial int virConnectListAllNetworks(ConnectHandle connection, out nint* networks, uint flags);

    [LibraryImport(Library)]
    public static partial nint virNetworkGetName(NetworkHandle network);

    [LibraryImport(Library)]
    public static partial int virNetworkIsActive(NetworkHandle network);

    [LibraryImport(Library)]
    public static partial int virNetworkDestroy(NetworkHandle network);

    [LibraryImport(Library)]
    public static partial int virNetworkUndefine(NetworkHandle network);

    [LibraryImport(Library)]
    public static partial int virNetworkGetDHCPLeases(NetworkHandle network, nint mac, out DhcpLease** leases, uint flags);

    [LibraryImport(Library)]
    public static partial void virNetworkDHCPLeaseFree(DhcpLease* lease);

    [LibraryImport(Library)]
    public static partial int virNetworkFree(nint network);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NetworkHandle virNetworkDefineXML(ConnectHandle connection, string xml);

    [LibraryImport(Library)]
    public static partial int virNetworkCreate(NetworkHandle network);

    [LibraryImport(Library)]
    public static partial int virNetworkSetAutostart(NetworkHandle network, int autostart);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial FilterHandle virNWFilterDefineXML(ConnectHandle connection, string xml);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial FilterHandle virNWFilterLookupByName(ConnectHandle connection, string name);

    [LibraryImport(Library)]
    public static partial int virConnectListAllNWFilters(ConnectHandle connection, out nint* filters, uint flags);

    [LibraryImport(Library)]
    public static partial nint virNWFilterGetName(FilterHandle filter);

    [LibraryImport(Library)]
    public static partial int virNWFilterUndefine(FilterHandle filter);

    [LibraryImport(Library)]
    public static partial int virNWFilterFree(nint filter);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial PoolHandle virStoragePoolLookupByName(ConnectHandle connection, string name);

    [LibraryImport(Library)]
    public static partial int virStoragePoolIsActive(PoolHandle pool);

    [LibraryImport(Library)]
    public static partial int virStoragePoolGetInfo(PoolHandle pool, out PoolInfo info);

    [LibraryImport(Library)]
    public static partial nint virStoragePoolGetXMLDesc(PoolHandle pool, uint flags);

    [LibraryImport(Library)]
    public static partial int virStoragePoolRefresh(PoolHandle pool, uint flags);

    [LibraryImport(Library)]
    public static partial int virStoragePoolListAllVolumes(PoolHandle pool, out nint* volumes, uint flags);

    [LibraryImport(Library)]
    public static partial int virStoragePoolFree(nint pool);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial VolumeHandle virStorageVolLookupByName(PoolHandle pool, string name);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial VolumeHandle virStorageVolCreateXML(PoolHandle pool, string xml, uint flags);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial VolumeHandle virStorageVolCreateXMLFrom(PoolHandle pool, string xml, VolumeHandle source, uint flags);

    [LibraryImport(Library)]
    public static partial nint virStorageVolGetName(VolumeHandle volume);

    [LibraryImport(Library)]
    public static partial nint virStorageVolGetPath(VolumeHandle volume);

    [LibraryImport(Library)]
    public static partial nint virStorageVolGetXMLDesc(VolumeHandle volume, uint flags);

    [LibraryImport(Library)]
    public static partial int virStorageVolGetInfo(VolumeHandle volume, out VolumeInfo info);

    [LibraryImport(Library)]
    public static partial int virStorageVolUpload(VolumeHandle volume, StreamHandle stream, ulong offset, ulong length, uint flags);

    [LibraryImport(Library)]
    public static partial int virStorageVolDownload(VolumeHandle volume, StreamHandle stream, ulong offset, ulong length, uint flags);

    [LibraryImport(Library)]
    public static partial int virStorageVolDelete(VolumeHandle volume, uint flags);

    [LibraryImport(Library)]
    public static partial int virStorageVolFree(nint volume);

    [LibraryImport(Library)]
    public static partial StreamHandle virStreamNew(ConnectHandle connection, uint flags);

    [LibraryImport(Library)]
    public static partial int virStreamSend(StreamHandle stream, byte* data, nuint length);

    [LibraryImport(Library)]
    public static partial int virStreamRecv(StreamHandle stream, byte* data, nuint length);

    [LibraryImport(Library)]
    public static partial int virStreamFinish(StreamHandle stream);

    [LibraryImport(Library)]
    public static partial int virStreamAbort(StreamHandle stream);

    [LibraryImport(Library)]
    public static partial int virStreamFree(nint stream);

    [LibraryImport(Library)]
    public static partial int virStreamEventAddCallback(StreamHandle stream, int events, delegate* unmanaged[Cdecl]<nint, int, nint, void> callback, nint opaque, nint free);

    [LibraryImport(Library)]
    public static partial int virStreamEventUpdateCallback(StreamHandle stream, int events);

    [LibraryImport(Library)]
    public static partial int virDomainOpenConsole(DomainHandle domain, nint device, StreamHandle stream, uint flags);

    /// <summary>A socket whose other end is QEMU's: libvirt passes it through its own, so only where that is on this machine.</summary>
    [LibraryImport(Library)]
    public static partial int virDomainOpenGraphicsFD(DomainHandle domain, uint index, uint flags);

    [LibraryImport(Library)]
    public static partial int virEventRegisterDefaultImpl();

    [LibraryImport(Library)]
    public static partial int virEventRunDefaultImpl();

    [LibraryImport(Library)]
    public static partial int virEventAddHandle(int descriptor, int events, delegate* unmanaged[Cdecl]<int, int, int, nint, void> callback, nint opaque, nint free);

    [LibraryImport(Library)]
    public static partial void virEventUpdateHandle(int watch, int events);

    /// <summary>The text, which stays the library's.</summary>
    public static string Text(nint text) => Marshal.PtrToStringUTF8(text) ?? "";

    /// <summary>The text, which the library gave away: freed here.</summary>
    public static string TakeText(nint text)
    {
        var copy = Text(text);
        NativeMemory.Free((void*)text);
        return copy;
    }

    [UnmanagedCallersOnly]
    public static void IgnoreError(nint userData, nint error)
    {
        // The library's own handler prints to standard error; every error is read by its code instead.
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct NodeInfo
    {
        public ModelText Model;
        public nuint MemoryKiB;
        public uint Cpus;
        public uint Mhz;
        public uint Nodes;
        public uint Sockets;
        public uint Cores;
        public uint Threads;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct BlockInfo
    {
        public ulong Capacity;
        public ulong Allocation;
        public ulong Physical;
    }

    [InlineArray(32)]
    public struct ModelText
    {
        private byte _first;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct PoolInfo
    {
        public int State;
        public ulong Capacity;
        public ulong Allocation;
        public ulong Available;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct VolumeInfo
    {
        public int Type;
        public ulong Capacity;
        public ulong Allocation;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct StatsRecord
    {
        public nint Domain;
        public nint Parameters;
        public int Count;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct DhcpLease
    {
        public nint Interface;
        public long Expiry;
        public int Type;
        public nint Mac;
        public nint Iaid;
        public nint Address;
        public uint Prefix;
        public nint HostName;
        public nint ClientId;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct DomainInterface
    {
        public nint Name;
        public nint Mac;
        public uint Count;
        public DomainAddress* Addresses;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct DomainAddress
    {
        public int Type;
        public nint Address;
        public uint Prefix;
    }
}

internal sealed class ConnectHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle() => Native.virConnectClose(handle) >= 0;
}

internal sealed class DomainHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    public DomainHandle()
        : base(ownsHandle: true)
    {
    }

    public DomainHandle(nint domain)
        : base(ownsHandle: true) => SetHandle(domain);

    protected override bool ReleaseHandle() => Native.virDomainFree(handle) == 0;
}

internal sealed class SnapshotHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    public SnapshotHandle()
        : base(ownsHandle: true)
    {
    }

    public SnapshotHandle(nint snapshot)
        : base(ownsHandle: true) => SetHandle(snapshot);

    protected override bool ReleaseHandle() => Native.virDomainSnapshotFree(handle) == 0;
}

internal sealed class NetworkHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    public NetworkHandle()
        : base(ownsHandle: true)
    {
    }

    public NetworkHandle(nint network)
        : base(ownsHandle: true) => SetHandle(network);

    protected override bool ReleaseHandle() => Native.virNetworkFree(handle) == 0;
}

internal sealed class FilterHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    public FilterHandle()
        : base(ownsHandle: true)
    {
    }

    public FilterHandle(nint filter)
        : base(ownsHandle: true) => SetHandle(filter);

    protected override bool ReleaseHandle() => Native.virNWFilterFree(handle) == 0;
}

internal sealed class PoolHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle() => Native.virStoragePoolFree(handle) == 0;
}

internal sealed class VolumeHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    public VolumeHandle()
        : base(ownsHandle: true)
    {
    }

    public VolumeHandle(nint volume)
        : base(ownsHandle: true) => SetHandle(volume);

    protected override bool ReleaseHandle() => Native.virStorageVolFree(handle) == 0;
}

internal sealed class StreamHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    protected override bool ReleaseHandle() => Native.virStreamFree(handle) == 0;
}
