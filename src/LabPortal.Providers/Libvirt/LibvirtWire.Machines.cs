using System.Net;
using System.Runtime.InteropServices;
using System.Xml.Linq;
using LabPortal.Domain.Machines;

namespace LabPortal.Providers.Libvirt;

internal sealed unsafe partial class LibvirtWire
{
    private const uint StatsState = 1;
    private const uint StatsNoWait = 1u << 29;
    private const uint AddressesFromAgent = 1;
    private const int AgentSeconds = 1;
    private const uint UndefineAll = 1 | 2 | 4 | 16; // managed save, snapshot metadata, NVRAM, checkpoint metadata
    private const uint StartAutodestroy = 2;
    private const uint ShutdownPowerButton = 1;
    private const uint GraphicsWithoutPassword = 1;

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
    public DomainHandle StartUndefined(string xml, bool dieWithConnection = false)
    {
        var domain = Native.virDomainCreateXML(connection, xml, dieWithConnection ? StartAutodestroy : 0);
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

    /// <summary>By the power button. Asking the guest's agent would wait until the guest is off, or a minute for one that does not answer.</summary>
    public void AskToShutDown(DomainHandle domain)
    {
        Did(Native.virDomainShutdownFlags(domain, ShutdownPowerButton), "ask the machine to shut down", LibvirtError.OperationInvalid, LibvirtError.NoDomain);
    }

    public bool Reset(DomainHandle domain)
    {
        return Did(Native.virDomainReset(domain, 0), "restart the machine", LibvirtError.OperationInvalid);
    }

    public void TakePowerAway(DomainHandle domain)
    {
        Did(Native.virDomainDestroyFlags(domain, 0), "take the machine's power away", LibvirtError.OperationInvalid, LibvirtError.NoDomain);
    }

    /// <summary>A socket to the machine's screen, where libvirtd is on this machine; empty where the machine does not run.</summary>
    public int? OpenScreen(DomainHandle domain)
    {
        var socket = Native.virDomainOpenGraphicsFD(domain, 0, GraphicsWithoutPassword);
        return Did(socket, "open the machine's screen", LibvirtError.OperationInvalid, LibvirtError.NoDomain) ? socket : null;
    }

    /// <summary>Where on its host the machine's screen listens now; empty where it does not run.</summary>
    public string? ReadScreenSocket(DomainHandle domain)
    {
        var text = Native.virDomainGetXMLDesc(domain, 0);
        if (text == 0) throw Fault("tell where the machine's screen is");
        return XDocument.Parse(Native.TakeText(text)).Descendants("graphics").Elements("listen").FirstOrDefault()?.Attribute("socket")?.Value;
    }

    public void Undefine(DomainHandle domain)
    {
        Did(Native.virDomainUndefineFlags(domain, UndefineAll), "remove the machine", LibvirtError.NoDomain);
    }

    /// <summary>
    /// What the guest's own agent says of this card; empty where none runs, or where it does not answer at once. What its others have is of another network,
    /// where the same address may be somebody else's.
    /// </summary>
    public IReadOnlyList<IPAddress> AskAgentForAddresses(DomainHandle domain, string mac)
    {
        // Left to itself libvirt waits five seconds for an agent that is stopped, and for ever for one that only says hello.
        Native.DomainInterface** cards = null;
        var count = Native.virDomainAgentSetResponseTimeout(domain, AgentSeconds, 0);
        if (count >= 0) count = Native.virDomainInterfaceAddresses(domain, out cards, AddressesFromAgent, 0);
        if (count < 0)
        {
            var fault = Fault("tell a machine's addresses");
            // No agent, not yet, not running any more, or a libvirtd before 5.10, which cannot bound its time: an address that nobody tells is no fault.
            return Alive ? [] : throw fault;
        }

        var addresses = new List<IPAddress>();
        for (var i = 0; i < count; i++)
        {
            for (var j = 0; j < cards[i]->Count && string.Equals(Native.Text(cards[i]->Mac), mac, StringComparison.OrdinalIgnoreCase); j++)
            {
                // As many as an answer of 10 MB holds: those that count are chosen where they are no more.
                if (IPAddress.TryParse(Native.Text(cards[i]->Addresses[j].Address), out var address)) addresses.Add(address);
            }

            Native.virDomainInterfaceFree(cards[i]);
        }

        NativeMemory.Free(cards);
        return GuestAddress.Of(addresses);
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
