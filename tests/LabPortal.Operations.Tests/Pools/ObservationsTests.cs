using System.Net;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Pools;
using Microsoft.Extensions.Time.Testing;
using NodaTime;
using Xunit;

namespace LabPortal.Operations.Tests.Pools;

public sealed class ObservationsTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly Watched _pool = new();
    private readonly Observations _observations;
    private static readonly InstallationId s_installation = new(Guid.NewGuid());

    public ObservationsTests() => _observations = new Observations(_pool, _time);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_asks_at_the_same_time_shares_one_read()
    {
        var seen = await Task.WhenAll(Enumerable.Range(0, 50).Select(i => _observations.ObserveAsync(Machine(), Cancellation)));
        Assert.InRange(_pool.Reads.Count, 1, 2);
        Assert.Equal(50, seen.Select(observation => observation.Reference).Distinct().Count());
    }

    [Fact]
    public async Task A_read_counts_for_one_interval()
    {
        var machine = Machine();
        await _observations.ObserveAsync(machine, Cancellation);
        _time.Advance(Observations.Interval / 2);
        await _observations.ObserveAsync(machine, Cancellation);
        Assert.Single(_pool.Reads);
        _time.Advance(Observations.Interval);
        await _observations.ObserveAsync(machine, Cancellation);
        Assert.Equal(2, _pool.Reads.Count);
    }

    [Fact]
    public async Task At_most_one_read_is_in_flight_and_the_others_are_joined_in_the_next()
    {
        var gate = _pool.Hold();
        var first = _observations.ObserveAsync(Machine(), Cancellation);
        await _pool.BegunAsync(1, Cancellation);
        var others = Enumerable.Range(0, 20).Select(_ => _observations.ObserveAsync(Machine(), Cancellation)).ToList();
        await Task.Delay(50, Cancellation);
        Assert.Single(_pool.Reads);
        gate.SetResult();
        await Task.WhenAll([first, .. others]);
        Assert.Equal([1, 20], _pool.Reads);
    }

    [Fact]
    public async Task What_was_invalidated_while_it_was_read_is_read_again()
    {
        var (machine, other) = (Machine(), Machine());
        var gate = _pool.Hold();
        var (asked, beside) = (_observations.ObserveAsync(machine, Cancellation), _observations.ObserveAsync(other, Cancellation));
        await _pool.BegunAsync(1, Cancellation);
        _pool.Power = PowerState.Stopped;
        _observations.Invalidate(machine with { Host = "h1" });
        gate.SetResult();

        Assert.Equal(PowerState.Stopped, Assert.IsType<Observation.Present>(await asked).Power);
        Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(await beside).Power);
    }

    [Fact]
    public async Task What_was_invalidated_after_it_was_read_is_read_again()
    {
        var machine = Machine();
        await _observations.ObserveAsync(machine, Cancellation);
        _pool.Power = PowerState.Stopped;
        _observations.Invalidate(machine);
        Assert.Equal(PowerState.Stopped, Assert.IsType<Observation.Present>(await _observations.ObserveAsync(machine, Cancellation)).Power);
    }

    [Fact]
    public async Task A_failure_reaches_all_who_wait_and_is_not_kept()
    {
        _pool.Fault = new ProviderFault(FaultKind.Transient, "away");
        var asked = Enumerable.Range(0, 5).Select(_ => _observations.ObserveAsync(Machine(), Cancellation)).ToList();
        foreach (var each in asked) Assert.Equal("away", (await Assert.ThrowsAsync<ProviderFault>(() => each)).Message);
        _pool.Fault = null;
        Assert.IsType<Observation.Present>(await _observations.ObserveAsync(Machine(), Cancellation));
    }

    [Fact]
    public async Task Who_gives_up_is_gone_at_once_and_a_read_that_nobody_waits_for_ends()
    {
        _pool.Hold();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var asked = _observations.ObserveAsync(Machine(), patience.Token);
        await _pool.BegunAsync(1, Cancellation);
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
        await _pool.EndedAsync(Cancellation);
        Assert.IsType<Observation.Present>(await _observations.ObserveAsync(Machine(), Cancellation));
    }

    [Fact]
    public async Task A_pool_that_hangs_is_a_fault_after_the_deadline()
    {
        _pool.Hold();
        var asked = _observations.ObserveAsync(Machine(), Cancellation);
        await _pool.BegunAsync(1, Cancellation);
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.Equal(FaultKind.Transient, (await Assert.ThrowsAsync<ProviderFault>(() => asked)).Kind);
    }

    [Fact]
    public async Task What_the_pool_passes_over_is_unknown()
    {
        _pool.Silent = true;
        Assert.IsType<Observation.Unknown>(await _observations.ObserveAsync(Machine(), Cancellation));
    }

    private static ResourceRef Machine() => new(new Owner(s_installation, new LabId(Guid.NewGuid()), new MachineId(Guid.NewGuid()), 1));

    /// <summary>A pool whose reads are counted and can be held; what it answers is what was true when the read began.</summary>
    private sealed class Watched : IProvider
    {
        private readonly SemaphoreSlim _ended = new(0);
        private TaskCompletionSource? _gate;

        public List<int> Reads { get; } = [];

        public PowerState Power { get; set; } = PowerState.Running;

        public ProviderFault? Fault { get; set; }

        public bool Silent { get; set; }

        public Duration SettlingTime => Duration.Zero;

        public TaskCompletionSource Hold() => _gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task BegunAsync(int reads, CancellationToken cancellation)
        {
            while (Reads.Count < reads) await Task.Delay(1, cancellation);
        }

        public Task EndedAsync(CancellationToken cancellation) => _ended.WaitAsync(cancellation);

        public async Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation)
        {
            var (power, gate) = (Power, _gate);
            _gate = null;
            Reads.Add(references.Count);
            try
            {
                if (gate is not null) await gate.Task.WaitAsync(cancellation);
                if (Fault is not null) throw Fault;
                return Silent ? [] : [.. references.Reverse().Select(reference => new Observation.Present(reference, power, "x", "h1", [IPAddress.Loopback]))];
            }
            finally
            {
                _ended.Release();
            }
        }

        public Task<PoolCheck> CheckAsync(CancellationToken cancellation) => throw new NotSupportedException();

        public Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation) => throw new NotSupportedException();

        public Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation) => throw new NotSupportedException();

        public Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
