using System.Security.Cryptography;
using LabPortal.Data.Workflows;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

public sealed class WorkflowLaws(TestDatabases databases)
{
    public static readonly TheoryData<string, Engine> Each = [.. from name in new RegisteredWorkflows().All.Select(workflow => workflow.Name).Distinct() from engine in Enum.GetValues<Engine>() select (name, engine)];

    [Fact]
    public void Every_registered_workflow_has_a_law()
        => Assert.Equal(new RegisteredWorkflows().All.Select(workflow => workflow.Name).Distinct().Order(), Law.Of.Keys.Order());

    [Fact]
    public void Names_versions_and_steps_are_stored_and_stay() => Assert.Equal(
        """
        provision/1: networks place* create* boot* address* reach* snapshot* ready
        start/1: look boot* address* reach* settle
        stop/1: look stop* settle
        restart/1: look restart* address* reach* settle
        extend/1: look lease boot* address* reach* settle
        snapshot/1: snapshot* keep
        revert/1: find revert* address* reach* settle
        delete-snapshot/1: drop* forget
        end/1: remove* remove-networks ended
        try/1: place* create* boot* address* reach* remove* ended
        """,
        string.Join("\n", new RegisteredWorkflows().All.Select(workflow => $"{workflow.Key}: {string.Join(" ", workflow.Steps.Select(step => step.Name + (step.ForEachMachine ? "*" : "")))}")));

    [Theory, MemberData(nameof(Each))]
    public async Task Failing_in_any_step_leads_back(string name, Engine engine)
    {
        await using var house = await BuildAsync(name, engine);
        foreach (var step in new RegisteredWorkflows().Current(name).Steps)
        {
            foreach (var after in new[] { false, true })
            {
                var lab = await Law.Of[name].BeginAsync(house);
                using var worker = new Worker(house, Wrapped.Failing(name, step.Name, after));
                var run = await worker.DriveAsync(lab.Id);
                if (!step.IsAskedFor(run.Arguments))
                {
                    await Law.Of[name].HoldsDoneAsync(house, lab, run);
                    continue;
                }

                if (MayGoBack(name, step))
                {
                    await Law.Of[name].HoldsUndoneAsync(house, lab, run);
                    continue;
                }

                // An end only goes forward, and so does what has lost its way back: it is stuck, with its reason, and done once somebody retries it.
                Assert.Equal((RunState.Stuck, "run.step-failed"), (run.State, run.Problem?.Code));
                await house.Database.WriteAsync(session => Runs.RetryAsync(session, run, house.Now), TestContext.Current.CancellationToken);
                using var mended = new Worker(house);
                await Law.Of[name].HoldsDoneAsync(house, lab, await mended.DriveAsync(lab.Id));
            }
        }
    }

    [Theory, MemberData(nameof(Each))]
    public async Task Every_step_and_every_undo_may_be_taken_twice(string name, Engine engine)
    {
        await using var house = await BuildAsync(name, engine);
        var lab = await Law.Of[name].BeginAsync(house);
        using (var worker = new Worker(house, Wrapped.In(name, step => new Wrapped(step, twice: true))))
            await Law.Of[name].HoldsDoneAsync(house, lab, await worker.DriveAsync(lab.Id));
        if (LastToGoBack(name) is not { } last) return;

        lab = await Law.Of[name].BeginAsync(house);
        using var failing = new Worker(house, Wrapped.In(name, step => new Wrapped(step, (_, acted) => step.Name == last && acted ? throw new ProviderFault(FaultKind.Broken, "no") : Task.CompletedTask, twice: true)));
        await Law.Of[name].HoldsUndoneAsync(house, lab, await failing.DriveAsync(lab.Id));
    }

    [Theory, MemberData(nameof(Each))]
    public async Task A_crash_around_any_commit_changes_nothing_going_forward(string name, Engine engine)
    {
        await using var house = await BuildAsync(name, engine);
        await CrashEverywhereAsync(house, name, new RegisteredWorkflows(), Law.Of[name].HoldsDoneAsync);
    }

    [Theory, MemberData(nameof(Each))]
    public async Task A_crash_around_any_commit_changes_nothing_going_backward(string name, Engine engine)
    {
        if (LastToGoBack(name) is not { } last) return;
        await using var house = await BuildAsync(name, engine);
        await CrashEverywhereAsync(house, name, Wrapped.Failing(name, last, after: true), Law.Of[name].HoldsUndoneAsync);
    }

    /// <summary>Labs that are built and ended have networks of their own here: the longest way there is.</summary>
    private async Task<House> BuildAsync(string name, Engine engine)
    {
        var house = await House.BuildAsync(databases, engine);
        house.Isolated = name is WorkflowNames.Provision or WorkflowNames.End;
        return house;
    }

    /// <summary>A run that fails in this step goes back, since it has not begun a step without a way back.</summary>
    private static bool MayGoBack(string name, Step failing)
        => new RegisteredWorkflows().Current(name) is { Undoes: true } workflow && workflow.Steps.TakeWhile(step => step.Name != failing.Name).Append(failing).All(step => !step.NoWayBack);

    private static string? LastToGoBack(string name) => new RegisteredWorkflows().Current(name).Steps.LastOrDefault(step => MayGoBack(name, step))?.Name;

    [Theory, MemberData(nameof(Each))]
    public async Task Two_runners_of_one_run_do_it_once(string name, Engine engine)
    {
        await using var house = await BuildAsync(name, engine);
        var lab = await Law.Of[name].BeginAsync(house);
        using var two = new Worker(house);
        for (var at = 1; at <= 4; at++)
        {
            // The second takes the run over in the middle of the first one's turn, as if that had lapsed; then both act at once.
            var (commits, other, one) = (0, Task.FromResult<NodaTime.Instant?>(null), (Worker?)null);
            using var first = one = new Worker(house, seam: moment =>
            {
                if (moment != TurnMoment.AfterCommit || ++commits != at) return;
                if (two.ClaimAsync([one!.Lease.Id]).GetAwaiter().GetResult() is { } stolen) other = Task.Run(() => two.TurnAsync(stolen));
            });
            if (await first.ClaimAsync([two.Lease.Id]) is not { } claim) break;
            try
            {
                await first.TurnAsync(claim);
                Assert.True(commits < at || !(await house.RunAsync(lab.Id)).State.IsLive(), "It lost its run and did not notice.");
            }
            catch (LeaseLost)
            {
                await other;
            }

            house.Clock.Advance(TimeSpan.FromSeconds(6));
        }

        await Law.Of[name].HoldsDoneAsync(house, lab, await two.DriveAsync(lab.Id));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task The_matrix_catches_a_form_that_creates_and_then_saves_the_id(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        var lab = await Law.Of[WorkflowNames.Provision].BeginAsync(house);
        var (created, crashed) = (false, false);
        var broken = Wrapped.In(WorkflowNames.Provision, step => step.Name != "create" ? step : new Wrapped(new CreateThenSave(), (_, acted) =>
        {
            created |= acted;
            return Task.CompletedTask;
        }));
        await DriveAsync(house, lab, broken, moment =>
        {
            if (crashed || !created || moment != TurnMoment.BeforeCommit) return;
            crashed = true;
            throw new Crash();
        });
        Assert.True(crashed);
        Assert.NotEqual(10, (await house.ResourcesAsync(lab)).Count);
    }

    /// <summary>
    /// For each commit of the run: dies just before it, when it has acted and nobody knows, then just after it; another worker goes on. On PostgreSQL, which has
    /// another way to take over, before it alone.
    /// </summary>
    private static async Task CrashEverywhereAsync(House house, string name, RegisteredWorkflows workflows, Func<House, Lab, Run, Task> holds)
    {
        var commits = 0;
        var lab = await Law.Of[name].BeginAsync(house);
        var run = await DriveAsync(house, lab, workflows, moment => commits += moment == TurnMoment.AfterCommit ? 1 : 0);
        await holds(house, lab, run);
        Assert.InRange(commits, 2, 60);
        foreach (var moment in house.Database.Dialect.IsShared ? [TurnMoment.BeforeCommit] : Enum.GetValues<TurnMoment>())
        {
            for (var at = 1; at <= commits; at++)
            {
                lab = await Law.Of[name].BeginAsync(house);
                var (left, crashed) = (at, false);
                run = await DriveAsync(house, lab, workflows, now =>
                {
                    if (crashed || now != moment || --left > 0) return;
                    crashed = true;
                    throw new Crash();
                });
                await holds(house, lab, run);
            }
        }
    }

    private static async Task<Run> DriveAsync(House house, Lab lab, RegisteredWorkflows workflows, Action<TurnMoment> seam)
    {
        var worker = new Worker(house, workflows, seam);
        try
        {
            for (var i = 0; i < 300; i++)
            {
                try
                {
                    if (await worker.ClaimAsync() is { } claim) await worker.TurnAsync(claim);
                }
                catch (Crash)
                {
                    var dead = worker;
                    worker = new Worker(house, workflows, seam);
                    dead.Dispose();
                    if (house.Database.Dialect.IsShared)
                    {
                        // Takes over only after having watched the dead one's beat for a whole term.
                        Assert.Null(await worker.ClaimAsync());
                        house.Clock.Advance(worker.Tools.Settings.Term + TimeSpan.FromSeconds(1));
                    }
                    else
                    {
                        await house.Database.WriteAsync(RunStore.ReclaimAllAsync, CancellationToken.None);
                    }

                    continue;
                }

                var run = await house.RunAsync(lab.Id);
                if (!run.State.IsLive() || run.State == RunState.Stuck) return run;
                if (run.DueAt > house.Now) house.Clock.Advance((run.DueAt - house.Now).ToTimeSpan() + TimeSpan.FromMilliseconds(1));
            }

            throw new InvalidOperationException("The run does not come to an end.");
        }
        finally
        {
            worker.Dispose();
        }
    }

    private sealed class Crash : Exception;

    /// <summary>The classic mistake: asks for a new machine, and writes down which one only afterwards.</summary>
    internal sealed class CreateThenSave() : Step("create")
    {
        public static RegisteredWorkflows Registered => Wrapped.In(WorkflowNames.Provision, step => step.Name == "create" ? new CreateThenSave() : step);

        public override async Task<StepAnswer> DoAsync(StepContext context, CancellationToken cancellation)
        {
            var pool = await context.OpenPoolAsync(cancellation);
            var fresh = context.Machine with { Generation = RandomNumberGenerator.GetInt32(1000, int.MaxValue) };
            await pool.Provider.EnsureExistsAsync(await context.Tools.Specs.OfAsync(context.Lab, fresh, pool.Pool, cancellation), cancellation);
            return StepAnswer.DoneWith((session, now) => Operations.Machines.MachineChanges.SaveAsync(session, context.Lab, fresh, now, context.Tools.Time));
        }
    }
}
