using LabPortal.Domain;
using LabPortal.Domain.Costs;
using LabPortal.Operations.Costs;
using Xunit;

namespace LabPortal.Operations.Tests.Costs;

public sealed class PriceCsvTests
{
    [Theory]
    [InlineData("size,cpu,memoryMiB,runningHour,stoppedHour\nt3.micro,2,1024,0.0104,0\n\"large, fast\",8,16384,0.4,0.01\n")]
    [InlineData("MEMORYMIB;Size;Cpu;StoppedHour;RunningHour\r\n1024; t3.micro;2;;0.0104\r\n16384;\"large, fast\";8;0.01;0.4")]
    [InlineData("\ufeffsize\tcpu\tmemoryMiB\trunningHour\tstoppedHour\nt3.micro\t2\t1024\t0.0104\t0\n\nlarge, fast\t8\t16384\t0.40\t0.01")]
    public void Prices_are_read_as_spreadsheets_write_them(string text)
    {
        var errors = new List<FieldError>();
        var sizes = PriceCsv.Read(text, "prices.sizes", errors);
        Assert.Empty(errors);
        Assert.Equal([new SizePrice("t3.micro", 2, 1024, 0.0104m, 0), new SizePrice("large, fast", 8, 16384, 0.4m, 0.01m)], sizes);
        Assert.Equal(sizes, PriceCsv.Read(PriceCsv.Write(sizes), "prices.sizes", errors));
    }

    [Fact]
    public void Everything_that_is_wrong_is_told_with_its_line_and_nothing_is_taken()
    {
        var errors = new List<FieldError>();
        Assert.Empty(PriceCsv.Read("size,cpu,memoryMiB,runningHour\na,2,1024,0.1\n,0,x,1e5\nc,2,-1,-0.1\n", "prices.sizes", errors));
        Assert.Equal(
            ["3 size ", "3 cpu 0", "3 memoryMiB x", "3 runningHour 1e5", "4 memoryMiB -1", "4 runningHour -0.1"],
            errors.Select(error => string.Join(' ', error.Arguments!.Select(argument => argument.Value))));
        Assert.All(errors, error => Assert.Equal(("prices.sizes", "csv.line"), (error.Field, error.Code)));
    }

    [Fact]
    public void A_table_without_its_headers_is_told_which()
    {
        var errors = new List<FieldError>();
        Assert.Empty(PriceCsv.Read("a,2,1024,0.1\n", "prices.sizes", errors));
        Assert.Equal("csv.headers", Assert.Single(errors).Code);
    }

    [Fact]
    public void Nothing_is_no_prices_and_no_mistake()
    {
        var errors = new List<FieldError>();
        Assert.Empty(PriceCsv.Read(" \n", "prices.sizes", errors));
        Assert.Empty(errors);
        Assert.Equal("", PriceCsv.Write([]));
    }

    [Fact]
    public void A_broken_quote_is_a_mistake_and_no_crash()
    {
        var errors = new List<FieldError>();
        Assert.Empty(PriceCsv.Read("size,cpu,memoryMiB,runningHour\n\"a\"b,2,1024,0.1\n", "prices.sizes", errors));
        Assert.NotEmpty(errors);
    }
}
