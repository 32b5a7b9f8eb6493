using System.Collections.Concurrent;
using LabPortal.Data;
using LabPortal.Domain;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Pools;
using Microsoft.Extensions.Logging;

namespace LabPortal.Operations.Consoles;

/// <summary>The serial consoles that somebody of this process looks at: one line to each machine, however many look.</summary>
public sealed class SerialRooms(Database database, OpenPools pools, TimeProvider time, ILogger<SerialRooms> log)
{
    private readonly ConcurrentDictionary<(MachineId Machine, int Generation), Lazy<Task<SerialRoom?>>> _rooms = new();

    /// <summary>A seat in the machine's room, which is opened for the first. Empty where somebody outside of this process holds the port.</summary>
    internal async Task<SerialSeat?> JoinAsync(ConsolePass pass, bool takeOver, CancellationToken cancellation)
    {
        var key = (pass.Machine.Id, pass.Machine.Generation);
        while (true)
        {
            var opening = _rooms.GetOrAdd(key, _ => new Lazy<Task<SerialRoom?>>(() => OpenAsync(pass, takeOver)));
            SerialRoom? room;
            try
            {
                room = await opening.Value.WaitAsync(cancellation);
            }
            catch (Exception) when (opening.Value.IsFaulted)
            {
                _rooms.TryRemove(KeyValuePair.Create(key, opening));
                throw;
            }

            if (room?.Join(pass.Actor.Person, pass.Actor.Name) is { } seat) return seat;
            // It was closed meanwhile, or was never open: nobody finds it any more.
            _rooms.TryRemove(KeyValuePair.Create(key, opening));
            if (room is null) return null;
        }
    }

    /// <summary>Not one viewer's: who comes second must not lose it because the first went away.</summary>
    private async Task<SerialRoom?> OpenAsync(ConsolePass pass, bool takeOver)
    {
        var cancellation = CancellationToken.None;
        var machine = pass.Machine;
        var installation = await database.ReadAsync(Installation.ReadAsync, cancellation);
        var reference = new ResourceRef(machine.OwnerIn(installation), machine.Host);
        var provider = (await pools.OpenAsync(machine.Pool!.Value, cancellation)).Provider;
        if (provider is not ISerialConsoleAbility serial) throw new ProviderFault(FaultKind.Rejected, "Its pool has no serial consoles.");
        // The line first: what is printed in between is in both, and found there; the other way round it would be in neither.
        if (await serial.OpenSerialConsoleAsync(reference, takeOver, cancellation) is not { } line) return null;
        var room = new SerialRoom(line, time, fault => log.LogWarning(fault, "The serial line of {Machine} in lab {Lab} broke.", machine.Name, pass.Lab));
        try
        {
            if (provider is ISerialLogAbility before) room.Recall(await before.ReadSerialLogAsync(reference, SerialRoom.Scrolled, cancellation));
        }
        catch (ProviderFault fault)
        {
            log.LogWarning(fault, "The serial log of {Machine} in lab {Lab} could not be read; its console begins with now.", machine.Name, pass.Lab);
        }

        return room;
    }
}
