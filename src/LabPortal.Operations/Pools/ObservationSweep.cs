using LabPortal.Data;
using LabPortal.Data.Labs;
using LabPortal.Data.Pools;
using LabPortal.Data.Workflows;
using LabPortal.Domain;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Machines;
using LabPortal.Operations.Sweeps;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Pools;

/// <summary>
/// Reads the machines of labs that nobody works on, once a minute, and writes down what changed from outside: a guest that shut itself down is
/// <i>stopped</i>, one that is absent in two reads the settling time apart is <i>missing</i>, one that cannot be read twice is <i>unknown</i>;
/// what comes back is what it was. The lab's health follows.
/// </summary>
public sealed class ObservationSweep(Database database, OpenPools pools, PortalIdentity portal, TimeProvider time, ILogger<ObservationSweep> log) : PoolByPool(Name, database, pools, time, log)
{
    public const string Name = "observations";

    private const int AtOnce = 200;

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(40);

    /// <summary>Looks at this pool's machines now.</summary>
    public override async Task LookAsync(PoolId id, CancellationToken cancellation)
    {
        var labs = await Database.ReadAsync(
            async session =>
            {
                var found = new List<Lab>();
                foreach (var lab in await DriftStore.QuietLabsAsync(session, id)) found.Add((await LabStore.FindAsync(session, lab))!);
                return found;
            },
            cancellation);
        if (labs.Count == 0) return;

        var machines = labs.SelectMany(lab => lab.Machines).Where(machine => machine.Pool == id && IsQuiet(machine.State)).ToList();
        var (settling, seen) = await ObserveAsync(id, machines, cancellation);

        // Bad news counts when it is read twice; a lab that changed in between was not the one that was read.
        var doubtful = machines.Where(machine => StateOf(machine, seen[machine.Id]) is MachineState.Missing or MachineState.Unknown && StateOf(machine, seen[machine.Id]) != machine.State).ToList();
        if (doubtful.Count > 0)
        {
            await Task.Delay(settling.ToTimeSpan(), Time, cancellation);
            var (_, again) = await ObserveAsync(id, doubtful, cancellation);
            foreach (var machine in doubtful) seen[machine.Id] = Both(seen[machine.Id], again[machine.Id]);
        }

        foreach (var lab in labs)
        {
            var changes = lab.Machines.Where(machine => seen.ContainsKey(machine.Id))
                .Select(machine => (Machine: machine, Seen: seen[machine.Id], State: StateOf(machine, seen[machine.Id])))
                .Where(change => change.State != change.Machine.State).ToList();
            if (changes.Count > 0) await WriteAsync(lab, changes, cancellation);
        }
    }

    private static bool IsQuiet(MachineState state) => state is MachineState.Running or MachineState.Stopped or MachineState.Missing or MachineState.Unknown;

    /// <summary>Absent means absent in both; where the reads differ, the later and milder one counts.</summary>
    private static Observation Both(Observation first, Observation second)
        => second is Observation.Absent && first is not Observation.Absent ? new Observation.Unknown(second.Reference, "It was absent in one read only.") : second;

    private static MachineState StateOf(Machine machine, Observation observation) => observation switch
    {
        Observation.Present { Power: PowerState.Running } => MachineState.Running,
        Observation.Present { Power: PowerState.Stopped or PowerState.Failed } => MachineState.Stopped,
        Observation.Present => machine.State,
        Observation.Absent => MachineState.Missing,
        _ => MachineState.Unknown,
    };

    private async Task<(Duration Settling, Dictionary<MachineId, Observation> Seen)> ObserveAsync(PoolId id, IReadOnlyList<Machine> machines, CancellationToken cancellation)
    {
        var seen = new Dictionary<MachineId, Observation>();
        var settling = Duration.Zero;
        foreach (var some in machines.Chunk(AtOnce))
        {
            var references = some.Select(machine => new ResourceRef(machine.OwnerIn(portal.Installation), machine.Host)).ToList();
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            deadline.CancelAfter(s_deadline);
            string why;
            try
            {
                var open = await Pools.OpenAsync(id, deadline.Token);
                settling = open.Provider.SettlingTime;
                foreach (var observation in await open.Provider.ObserveAsync(references, deadline.Token).WaitAsync(deadline.Token))
                    seen[observation.Reference.Owner.Machine!.Value] = observation;
                why = "The pool said nothing about it.";
            }
            catch (ProviderFault fault)
            {
                why = fault.Message;
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                why = $"The pool did not answer within {s_deadline.TotalSeconds} s.";
            }

            foreach (var (machine, reference) in some.Zip(references)) seen.TryAdd(machine.Id, new Observation.Unknown(reference, why));
        }

        return (settling, seen);
    }

    private Task WriteAsync(Lab read, IReadOnlyList<(Machine Machine, Observation Seen, MachineState State)> changes, CancellationToken cancellation) => Database.WriteAsync(
        async session =>
        {
            var lab = await LabStore.LockAsync(session, read.Id);
            if (lab is null || lab.Version != read.Version || await RunStore.LiveOfAsync(session, read.Id) is not null) return;
            var now = Time.Now();
            var states = lab.Machines.ToDictionary(machine => machine.Id, machine => machine.State);
            foreach (var (machine, seen, state) in changes)
            {
                var present = seen as Observation.Present;
                states[machine.Id] = state;
                await MachineChanges.SaveAsync(session, lab, machine with
                {
                    State = state,
                    ExternalId = present?.ExternalId ?? machine.ExternalId,
                    Addresses = present is { Power: PowerState.Running, Addresses.Count: > 0 } ? [.. present.Addresses.Select(address => address.ToString())] : machine.Addresses,
                }, now, Time, [("cause", "outside"), .. Note(seen)]);
            }

            var health = Health.Of(lab.State, states.Values);
            if (health == lab.Health) return;
            await LabStore.SetHealthAsync(session, lab.Id, health);
            LabStore.AppendEvent(session, lab.Id, now, LabEventKind.State, ("state", lab.State.Word()), ("health", health.Word()));
        },
        cancellation);

    private static IEnumerable<(string, string)> Note(Observation seen) => seen switch
    {
        Observation.Unknown unknown => [("note", unknown.Why)],
        Observation.Present { Problem: { } problem } => [("note", problem)],
        _ => [],
    };
}
