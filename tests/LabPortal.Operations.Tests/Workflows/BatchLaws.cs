using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>What a batch claims, and when it may leave.</summary>
public sealed class BatchLaws(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_ring_at_any_moment_of_a_batch_is_answered_by_it_or_orders_another(Engine engine)
    {
        var clock = new Tripwire();
        await using var house = await House.BuildAsync(databases, engine, time: clock);
        using var worker = new Worker(house);
        var moments = 0;
        for (var sprung = true; sprung; moments++)
        {
            await worker.Lease.BeatAsync(Cancellation);
            Lab? lab = null;
            var orders = false;
            clock.Lay(moments, () =>
            {
                lab = house.RequestAsync(machines: 1).GetAwaiter().GetResult();
                orders = worker.Bell.Ring(worker.Tools.Settings.BatchesAtOnce);
            });
            await worker.Batch.AdvanceDueAsync(Cancellation);
            clock.Lift();
            sprung = lab is not null;
            if (!sprung) continue;
            Assert.True(orders || (await house.RunAsync(lab!.Id)).Token > 0, $"The ring at reading {moments} of the batch's clock was lost.");
            await worker.DriveAsync(lab!.Id);
        }

        Assert.InRange(moments, 6, 100);
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_nearly_full_batch_claims_what_comes_after_a_moment(Engine engine)
    {
        var held = 0;
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var house = await House.BuildAsync(databases, engine, workflows: Wrapped.In(WorkflowNames.Provision, step => step.Name != "place" ? step : new Wrapped(step, async (_, acted) =>
        {
            if (acted) return;
            Interlocked.Increment(ref held);
            await open.Task;
        })));
        using var worker = new Worker(house, settings: house.Tools.Settings with { BatchSize = 8 });
        await worker.Lease.BeatAsync(Cancellation);
        for (var i = 0; i < 7; i++) await house.RequestAsync(machines: 1);
        var batch = worker.Batch.AdvanceDueAsync(Cancellation);
        await Patience.UntilAsync(() => Task.FromResult(held == 7));

        // The batch has room for one more: less than it claims for at once, and nobody orders another for it.
        var last = await house.RequestAsync(machines: 1);
        Assert.False(worker.Bell.Ring(worker.Tools.Settings.BatchesAtOnce));
        await Patience.UntilAsync(async () =>
        {
            await worker.Lease.BeatAsync(Cancellation);
            house.Clock.Advance(TimeSpan.FromMilliseconds(5));
            return held == 8;
        });
        Assert.Equal(worker.Lease.Id, (await house.RunAsync(last.Id)).Worker);
        open.TrySetResult();
        await Patience.UntilAsync(async () =>
        {
            await worker.Lease.BeatAsync(Cancellation);
            house.Clock.Advance(TimeSpan.FromMilliseconds(5));
            return batch.IsCompleted;
        });
        Assert.InRange(await batch, 8, 100);
    }

    /// <summary>A clock that does something at one of its readings.</summary>
    private sealed class Tripwire() : FakeTimeProvider(new DateTimeOffset(2026, 3, 1, 9, 0, 0, TimeSpan.Zero))
    {
        private Action? _then;
        private int _left;

        /// <summary>After so many readings more.</summary>
        public void Lay(int readings, Action then) => (_left, _then) = (readings, then);

        public void Lift() => _then = null;

        public override long GetTimestamp()
        {
            Read();
            return base.GetTimestamp();
        }

        public override DateTimeOffset GetUtcNow()
        {
            Read();
            return base.GetUtcNow();
        }

        private void Read()
        {
            if (_then is not { } then || _left-- > 0) return;
            _then = null;
            then();
        }
    }
}
