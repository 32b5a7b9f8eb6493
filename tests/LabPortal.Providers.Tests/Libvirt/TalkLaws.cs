using System.Text.Json;
using LabPortal.Domain.Pools;
using LabPortal.Providers.Libvirt;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary>What goes between the portal and the processes in which the library runs.</summary>
public sealed class TalkLaws
{
    private static readonly List<LibvirtCall> Calls =
    [
        new CheckHost(), new MeasureHost(), new OffersKvm(), new BootProbe("probe", "kvm", TimeSpan.FromSeconds(1.5)), new LookAtMachines([new Sought("a", "b")], Networks: true, TimeSpan.FromSeconds(4)),
        new ListNames("lp-"), new FindMachine("a"), new MakeMachine("a", new SoughtImage("tiny", "tiny.qcow2", "Build it\n"), 1L << 40, [0, 255], "<domain\n/>", ["<filter/>"], new WarmWish(Guid.Empty, "Not\nhere")),
        new RemoveMachine("a"), new MakeNetworks([new WantedNetwork("a", "b")]), new RemoveNetworks("a"), new ChangePower("a", PowerChange.Reset), new ReadLog("a", 10), new FindImage("a"), new ReadDigest("a", "b"),
        new ImportImage("a", "/b", "raw", "é\n\"😀", "sha256:0", "c", ["d"], TimeSpan.FromSeconds(30)),
        new TakeSnapshot("a", "b"), new ListSnapshots("a"), new RevertMachine("a", "b"), new DeleteSnapshot("a", "b"), new ReadDisk("a"),
        new KeepWarmStates(Guid.Empty, [new WarmWant(new SoughtImage("a", "b", "c"), "<domain\n/>")], 4), new MakeWarmState(Guid.Empty, new WarmWant(new SoughtImage("a", "b", "c"), "<domain/>"), TimeSpan.FromSeconds(30)), new ReadStart("a"),
    ];

    [Fact]
    public void Every_call_crosses_in_one_line_and_its_result_has_a_form()
    {
        var kinds = typeof(LibvirtCall).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(LibvirtCall)) && !type.IsAbstract).ToList();
        Assert.Equal(kinds.Select(kind => kind.Name).Order(), Calls.Select(call => call.GetType().Name).Order());
        foreach (var call in Calls)
        {
            var line = Line(call);
            Assert.DoesNotContain('\n', line);
            var read = JsonSerializer.Deserialize(line, LibvirtJson.Default.LibvirtRequest)!.Read();
            Assert.IsType(call.GetType(), read);
            Assert.Equal(line, Line(read));
            Assert.NotNull(LibvirtJson.Default.GetTypeInfo(call.GetType().BaseType!.GetGenericArguments().Single()));
        }

        static string Line(LibvirtCall call) =>
            JsonSerializer.Serialize(LibvirtRequest.Of(new LibvirtHostSettings("h", "u", "p", "n"), call), LibvirtJson.Default.LibvirtRequest);
    }

    [Fact]
    public void Every_kind_of_fault_crosses()
    {
        foreach (var kind in Enum.GetValues<FaultKind>())
        {
            var line = JsonSerializer.Serialize(new LibvirtReply(Fault: kind, Message: "why"), LibvirtJson.Default.LibvirtReply);
            Assert.Equal(new LibvirtReply(Fault: kind, Message: "why"), JsonSerializer.Deserialize(line, LibvirtJson.Default.LibvirtReply));
        }
    }
}
