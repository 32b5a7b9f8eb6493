using LabPortal.Web.Features.Shell;
using Xunit;

namespace LabPortal.Web.Tests.Features;

public sealed class NewestTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_began_before_is_given_up_however_late_it_would_have_ended_and_what_began_last_is_kept()
    {
        var (newest, shown, slow) = (new Newest(), "", new TaskCompletionSource());
        var older = newest.RunAsync(async cancellation =>
        {
            await slow.Task.WaitAsync(cancellation);
            shown = "older";
        }, Cancellation);
        await newest.RunAsync(_ =>
        {
            shown = "newer";
            return Task.CompletedTask;
        }, Cancellation);
        slow.SetResult();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => older);
        Assert.Equal("newer", shown);

        await newest.RunAsync(_ => Task.FromException(new OperationCanceledException()), Cancellation).ContinueWith(_ => { }, Cancellation, TaskContinuationOptions.None, TaskScheduler.Default);
        await newest.RunAsync(_ =>
        {
            shown = "after one that failed";
            return Task.CompletedTask;
        }, Cancellation);
        Assert.Equal("after one that failed", shown);
    }
}
